"""The workers of a sweep, which Dask places: each takes one trial after the other."""

import logging
import os
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from extras.sweep import cluster, study, sweep
from extras.sweep.trial import KEY, Task, objective
from sentiment.errors import StoreError, UserError, first_line
from sentiment.text import Reviews
from workflow import ending
from workflow.runs import training_run

if TYPE_CHECKING:
    import distributed
    import optuna
    from optuna.trial import FrozenTrial

POLL_SECONDS = 0.5  # between a worker's looks for a trial that waits
WATCH_SECONDS = 2.0  # between the command's looks at how far they are
TRIALS_A_PROCESS = 20  # TensorFlow keeps 30 to 150 MB of each training until its process ends
TRAINED = "trained"  # attribute of a worker: how many trials its process has trained
DEATHS = 20  # of workers, while no other one ends well
DIED = "died"  # what came of the work of a worker that died as often as Dask lets one die


def work(name: str, content: bytes, required: Mapping[str, str], most: int) -> str | None:
    """Take one trial of a study after the other, until all have ended or it is stopped.

    Args:
        name: of the study.
        content: a pickled `Task`, which code of another commit may not be able to read.
        required: what this worker must have, see `cluster.require_same`.
        most: trials that this process is to train.

    Returns:
        None if all have ended, else the address of this worker, whose process is to be replaced:
        until it is, it takes no more. Without a nanny, which would replace it, it goes on.

    Raises:
        UserError: this worker has another environment or other reviews than the sweep.
    """
    from distributed import get_worker

    worker = get_worker()
    cluster.require_same(required)
    task: Task = pickle.loads(content)
    reviews = sweep.training_reviews(task.reviews)
    os.environ["MLFLOW_TRACKING_URI"] = task.tracking_uri
    ending.quiet_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # once: it remembers trials that ended
    searched = study.patiently(partial(study.open_study, name, study.address(), task.options))
    while (trained := getattr(worker, TRAINED, 0)) < most or not worker.nanny:
        if not study.patiently(partial(take, searched, task, reviews)):
            return None
        setattr(worker, TRAINED, trained + 1)
    return str(worker.address)


def take(searched: "optuna.Study", task: Task, reviews: Reviews) -> bool:
    """Train the next trial, once there is one; return False if all have ended, or it is stopped.

    Optuna proposes while this worker alone has the lock, so that as many trials are proposed as
    wait, and each knows of those before it.
    """
    from distributed import Lock

    lock = Lock(searched.study_name)
    while True:
        lock.acquire()
        release = _once(lock.release)
        try:
            study.end_stale(searched)
            study.seed(searched, task.options)
            if study.is_stopped(searched):
                return False
            if study.has_work(searched):
                run_next(searched, task, reviews, release)
                return True
            if study.is_over(searched):
                return False
        finally:
            release()
        time.sleep(POLL_SECONDS)


def run_next(
    searched: "optuna.Study", task: Task, reviews: Reviews, begun: Callable[[], None]
) -> None:
    """Train the trial that has waited longest, or a new one.

    Raises:
        StoreError: Optuna could not record what came of it, since its database failed, or since
            the database had failed for so long that the trial waits for another worker by now.
    """
    try:
        searched.optimize(
            partial(objective, task, reviews, begun),
            n_trials=1,
            catch=(Exception,),
            callbacks=[study.retry_passing, clear],
        )
    except Exception as error:
        raise StoreError(f"Optuna could not record a trial: {first_line(error)}") from error


def clear(_: "optuna.Study", trial: "FrozenTrial") -> None:
    """Remove the checkpoints of a trial, once Optuna knows what came of it."""
    if KEY in trial.user_attrs and not study.may_pass(trial):
        training_run.clear(trial.user_attrs[KEY])


def _once(call: Callable[[], object]) -> Callable[[], None]:
    """A function that calls another one the first time."""
    left = [call]

    def first() -> None:
        if left:
            left.pop()()

    return first


def search(
    client: "distributed.Client",
    task: Task,
    required: Mapping[str, str],
    searched: "optuna.Study",
    watch: Callable[[], object],
) -> None:
    """Let all workers work on a study until its trials have ended, also those that come later.

    Args:
        client: of the workers.
        task: what all trials share.
        required: what each worker must have, see `cluster.require_same`.
        searched: the study.
        watch: called now and then; what it raises ends the search.

    Raises:
        UserError: the scheduler is gone, or so many workers died that more would.
    """

    from distributed import Lock

    def submit() -> "distributed.Future":  # not pure: the same call is made for each worker
        arguments = (searched.study_name, pickle.dumps(task), required, TRIALS_A_PROCESS)
        return client.submit(work, *arguments, pure=False)

    lock = Lock(searched.study_name, client.scheduler, client.loop)
    futures, over, deaths = set[Any](), False, 0
    while futures or not over:
        if not over:
            futures |= {submit() for _ in cluster.addresses(client)[len(futures) :]}
        done = ended(futures)
        futures.difference_update(done)
        results = [result(future) for future in done]
        over = over or None in results
        if results:
            deaths = deaths + len(results) if {*results} == {DIED} else 0
        if deaths > DEATHS:
            raise UserError(f"Workers died, and all that took their places. {cluster.AGAIN}")
        replace(client, [outcome for outcome in results if outcome not in (None, DIED)])
        futures |= {submit() for outcome in results if outcome is not None}
        end_stale(lock, searched)
        watch()


def ended(futures: Iterable["distributed.Future"]) -> "list[distributed.Future]":
    """Wait a moment for the first ones that are done, or lost with the scheduler."""
    from distributed import wait

    # a scheduler that is gone cancels all, as their status says
    with suppress(TimeoutError, CancelledError, ValueError):
        wait(futures, WATCH_SECONDS, return_when="FIRST_COMPLETED")
    return [future for future in futures if future.done()]


def replace(client: "distributed.Client", used_up: Sequence[str]) -> None:
    """Let workers go on in new processes, those that are still there."""
    with suppress(KeyError, AssertionError, OSError, TimeoutError):
        if used_up:
            client.restart_workers(used_up)


def end_stale(lock: "distributed.Lock", searched: "optuna.Study") -> None:
    """Let trials of dead workers wait: the others look only when they look for a trial.

    Args:
        lock: that of the workers: between a trial's end and its new turn, all seems to have ended.
        searched: the study.

    Raises:
        UserError: the scheduler is gone, or the database.
    """
    try:
        locked = lock.acquire(timeout=WATCH_SECONDS)
    except OSError as error:
        raise UserError(cluster.GONE) from error
    if locked:
        try:
            study.patiently(partial(study.end_stale, searched))
        finally:
            lock.release()


def result(future: "distributed.Future") -> Any:
    """What `work` returned, or `DIED`.

    Raises:
        UserError: the scheduler is gone, or this worker cannot do what is wanted.
    """
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise UserError(cluster.GONE)
    try:
        return future.result()
    except KilledWorker:
        return DIED
