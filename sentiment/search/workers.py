"""The workers of a sweep, which Dask places: each takes one trial after the other."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sentiment import process
from sentiment.errors import UserError, first_line
from sentiment.network import checkpoint
from sentiment.search import study
from sentiment.search.trial import KEY, Task, objective
from sentiment.serving.predictor import usable_cores

if TYPE_CHECKING:
    import distributed
    import optuna
    from optuna.trial import FrozenTrial

POLL_SECONDS = 0.5
CONNECT_SECONDS = 10
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own variable


def threads(workers: int) -> int:
    """The threads of each worker on this machine."""
    return max(1, (usable_cores() or 1) // workers)


@contextmanager
def local(workers: int) -> Iterator["distributed.Client"]:
    """So many processes on this machine, which share its cores; gone when the block ends."""
    os.environ.setdefault(THREADS, str(threads(workers)))
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of workers that come and go
    import dask
    import distributed

    # a worker that dies is replaced, and takes the next trial, whatever it died of
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1000}),
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def connected(address: str) -> Iterator["distributed.Client"]:
    """The workers of the scheduler at this address.

    Raises:
        UserError: it does not answer, or has no workers.
    """
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"The Dask scheduler at {address} does not answer: {first_line(error)}\n"
            "Start it with `dask scheduler`, or leave SCHEDULER out to search on this machine."
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise UserError(
                f"The Dask scheduler at {address} has no workers: start some with "
                f"`dask worker {address} --nthreads 1`."
            )
        yield client


def share(client: "distributed.Client", task: Task) -> None:
    """Give every worker, and each that comes later, what all trials share.

    As a plugin it is kept by the scheduler: it would be lost with the workers that hold data.
    """
    from distributed import WorkerPlugin

    class Shared(WorkerPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.task = task

    client.register_plugin(Shared(), name=task.parent)


def work(parent: str, name: str, url: str) -> None:
    """Take one trial of a study after the other, until all have ended.

    Args:
        parent: the sweep's MLflow run, by which its workers have what its trials share.
        name: of the study.
        url: of its database.

    Optuna proposes while this worker alone has the lock, so that as many trials are proposed as
    wait, and each knows of those before it.
    """
    from distributed import Lock, get_worker

    task: Task = get_worker().plugins[parent].task
    process.quiet_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    lock = Lock(name)
    while True:
        lock.acquire()
        release = _once(lock.release)
        try:
            found = study.open_study(name, url, task.params.sweep)
            study.end_stale(found)
            if study.is_waiting(found):
                run_next(found, task, release)
                continue
            if study.is_over(found):
                return
        finally:
            release()
        time.sleep(POLL_SECONDS)


def run_next(found: "optuna.Study", task: Task, begun: Callable[[], None]) -> None:
    """Train the trial that has waited longest."""
    found.optimize(
        partial(objective, task, begun),
        n_trials=1,
        catch=(Exception,),
        callbacks=[study.retry_passing, clear],
    )


def clear(_: "optuna.Study", trial: "FrozenTrial") -> None:
    """Remove the checkpoints of a trial, once Optuna knows what came of it."""
    if KEY in trial.user_attrs and not trial.user_attrs.get(study.PASSING):
        checkpoint.clear(trial.user_attrs[KEY])


def _once(call: Callable[[], object]) -> Callable[[], None]:
    """A function that calls another one the first time."""
    left = [call]

    def first() -> None:
        if left:
            left.pop()()

    return first


def search(
    client: "distributed.Client", parent: str, name: str, url: str, watch: Callable[[], object]
) -> None:
    """Let all workers work on a study until its trials have ended.

    Args:
        client: of the workers, which have what `share` gave them.
        parent: the sweep's MLflow run.
        name: of the study.
        url: of its database.
        watch: called now and then; what it raises ends the search.
    """
    workers = len(client.scheduler_info()["workers"])
    # not pure: the same call is made once for each worker
    futures = [client.submit(work, parent, name, url, pure=False) for _ in range(workers)]
    while not all(future.done() for future in futures):
        watch()
        time.sleep(POLL_SECONDS)
    watch()
    client.gather(futures)
