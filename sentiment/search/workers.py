"""The workers of a sweep, which Dask places: each takes one trial after the other."""

import hashlib
import logging
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiment import process
from sentiment.errors import StoreError, UserError, first_line
from sentiment.machine import PACKAGES
from sentiment.network import checkpoint
from sentiment.runs import store
from sentiment.search import study
from sentiment.search.trial import KEY, THREADS, Task, digest, objective
from sentiment.serving.predictor import usable_cores

if TYPE_CHECKING:
    import distributed
    import optuna
    from optuna.trial import FrozenTrial

POLL_SECONDS = 0.5  # between a worker's looks for a trial that waits
WATCH_SECONDS = 2.0  # between the command's looks at how far they are
TRIALS_A_PROCESS = 20  # TensorFlow keeps 30 to 150 MB of each training until its process ends
WORKER_GB = 2.7  # memory of one that has trained so many
CONNECT_SECONDS = 10
AGAIN = "Start what is gone, and this command again: no trial that ended is trained again."
GONE = f"The Dask scheduler does not answer any more. {AGAIN}"
INSTALL = "Install requirements.txt and requirements-sweep.txt there, and start it again."
SETTINGS = {
    # a worker that dies is replaced, and takes the next trial, whatever it died of
    "distributed.scheduler.allowed-failures": 1000,
    # looking at themselves as often as Dask does takes 2 % of a core from each training
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
}


def fitting() -> int:
    """How many workers this machine has cores and free memory for, at least one."""
    import psutil

    by_memory = int(psutil.virtual_memory().available / (1e9 * WORKER_GB))
    return max(1, min(usable_cores() or 1, by_memory))


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

    with (
        dask.config.set(SETTINGS),
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def connected(address: str) -> Iterator["distributed.Client"]:
    """The workers of the scheduler at this address, with this project's code.

    Raises:
        UserError: the scheduler does not answer, or its workers cannot do what is wanted.
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
        if not addresses(client):
            raise UserError(
                f"The Dask scheduler at {address} has no workers: start some with "
                f"`dask worker {address} --nthreads 1`."
            )
        try:
            share_code(client)
            require_versions(client)
        except ImportError as error:
            raise UserError(f"A worker lacks a package: {first_line(error)}. {INSTALL}") from error
        yield client


def addresses(client: "distributed.Client") -> list[str]:
    """The workers that there are at the moment; raises UserError where the scheduler is gone."""
    try:
        return list(client.scheduler_info()["workers"])
    except OSError as error:
        raise UserError(GONE) from error


def require_servers(url: str) -> None:
    """Raise UserError where workers elsewhere could not reach the store or this database."""
    if not store.is_server(store.tracking_uri()) or url.startswith(store.SQLITE):
        raise UserError(
            "Workers on other machines reach neither mlflow.db nor sweeps.db in this folder. Name "
            f"a server in MLFLOW_TRACKING_URI and a database such as PostgreSQL in {study.STORAGE}."
        )


def share_code(client: "distributed.Client") -> None:
    """Give the workers the package `sentiment` of this folder, so that they need no clone."""
    with tempfile.TemporaryDirectory() as folder:
        archive = zipped(Path(__file__).parents[1], Path(folder))
        client.upload_file(str(archive))
        if set(client.run(code).values()) != {archive.name}:
            client.run(forget)
            client.upload_file(str(archive))


def require_versions(client: "distributed.Client") -> None:
    """Raise UserError where a worker has other versions of Python or of what computes."""
    wanted = versions()
    for worker, theirs in client.run(versions).items():
        differing = [
            f"{name} {theirs[name]}, here {wanted[name]}"
            for name in wanted
            if theirs[name] != wanted[name]
        ]
        if differing:
            raise UserError(
                f"The worker {worker} has another environment: {'; '.join(differing)}. {INSTALL}"
            )


def zipped(package: Path, folder: Path) -> Path:
    """A package as a zip file in a folder, named by its content."""
    sources = sorted(package.rglob("*.py"))
    content = hashlib.sha256()
    for source in sources:
        content.update(f"{source.relative_to(package)}".encode() + source.read_bytes())
    archive = folder / f"{package.name}-{content.hexdigest()[:16]}.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for source in sources:
            target.write(source, source.relative_to(package.parent))
    return archive


def code() -> str:
    """The name of the zip file that this process has the package from."""
    import sentiment

    return Path(str(sentiment.__file__)).parents[1].name


def forget() -> None:
    """Let this process import the package anew: the code of an earlier sweep is no longer used."""
    package = __name__.partition(".")[0]
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        del sys.modules[name]
    sys.path[:] = [each for each in sys.path if not Path(each).name.startswith(f"{package}-")]


def versions() -> dict[str, str]:
    """Python and the packages by which results can differ, or trials fail."""
    packages = {name: _version(name) for name in (*PACKAGES, "mlflow", "optuna", "distributed")}
    return {"Python": platform.python_version(), **packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


@contextmanager
def shared(client: "distributed.Client", task: Task) -> Iterator[None]:
    """In the block, every worker, also one that comes later, has what all trials share.

    As a plugin it is kept by the scheduler: it would be lost with the workers that hold data.
    """
    from distributed import WorkerPlugin

    class Shared(WorkerPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.task = task

    client.register_plugin(Shared(), name=task.parent)
    try:
        yield
    finally:
        with suppress(Exception):  # with the scheduler, it is gone
            client.unregister_worker_plugin(task.parent)


def work(parent: str, name: str, url: str, most: int) -> str | None:
    """Take one trial of a study after the other, until all have ended or it is stopped.

    Args:
        parent: the sweep's MLflow run, by which its workers have what its trials share.
        name: of the study.
        url: of its database.
        most: trials that this process is to train.

    Returns:
        None if all have ended, else the address of this worker, whose process is to be replaced.
    """
    from distributed import get_worker

    task: Task = get_worker().plugins[parent].task
    if digest(task.reviews) != task.digest:
        raise UserError("The reviews did not arrive as they were sent: start the sweep again.")
    os.environ["MLFLOW_TRACKING_URI"] = task.tracking_uri
    process.quiet_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # once: it remembers trials that ended
    found = study.patiently(partial(study.open_study, name, url, task.params.sweep))
    for _ in range(most):
        if not study.patiently(partial(take, found, task)):
            return None
    return str(get_worker().address)


def take(found: "optuna.Study", task: Task) -> bool:
    """Train the next trial, once there is one; return False if all have ended, or it is stopped.

    Optuna proposes while this worker alone has the lock, so that as many trials are proposed as
    wait, and each knows of those before it.
    """
    from distributed import Lock

    lock = Lock(found.study_name)
    while True:
        lock.acquire()
        release = _once(lock.release)
        try:
            study.end_stale(found)
            study.seed(found, task.params.sweep)
            if study.is_stopped(found):
                return False
            if study.has_work(found):
                run_next(found, task, release)
                return True
            if study.is_over(found):
                return False
        finally:
            release()
        time.sleep(POLL_SECONDS)


def run_next(found: "optuna.Study", task: Task, begun: Callable[[], None]) -> None:
    """Train the trial that has waited longest, or a new one.

    Raises:
        StoreError: Optuna could not record what came of it, since its database failed, or since
            the database had failed for so long that the trial waits for another worker by now.
    """
    try:
        found.optimize(
            partial(objective, task, begun),
            n_trials=1,
            catch=(Exception,),
            callbacks=[study.retry_passing, clear],
        )
    except Exception as error:
        raise StoreError(f"Optuna could not record a trial: {first_line(error)}") from error


def clear(_: "optuna.Study", trial: "FrozenTrial") -> None:
    """Remove the checkpoints of a trial, once Optuna knows what came of it."""
    if KEY in trial.user_attrs and not study.may_pass(trial):
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
    """Let all workers work on a study until its trials have ended, also those that come later.

    Args:
        client: of the workers, for which `shared` is open.
        parent: the sweep's MLflow run.
        name: of the study.
        url: of its database.
        watch: called now and then; what it raises ends the search.

    Raises:
        UserError: the scheduler is gone, or so many workers died that Dask gave up.
    """
    from distributed import wait

    def submit() -> "distributed.Future":  # not pure: the same call is made for each worker
        return client.submit(work, parent, name, url, TRIALS_A_PROCESS, pure=False)

    futures, over = set[Any](), False
    while futures or not over:
        if not over:
            futures |= {submit() for _ in addresses(client)[len(futures) :]}
        with suppress(TimeoutError):
            wait(futures, WATCH_SECONDS, return_when="FIRST_COMPLETED")
        watch()
        for future in [each for each in futures if each.done()]:
            futures.remove(future)
            if used_up := result(future):
                with suppress(ValueError):  # without a nanny, it goes on in the process that it has
                    client.restart_workers([used_up])
                futures.add(submit())
            else:
                over = True


def result(future: "distributed.Future") -> Any:
    """What `work` returned; raises UserError where the scheduler or a machine ended it."""
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise UserError(GONE)
    try:
        return future.result()
    except KilledWorker as error:
        raise UserError(f"A worker died, and each that took its place. {AGAIN}") from error
