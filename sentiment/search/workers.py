"""The workers of a sweep, which Dask places: each takes one trial after the other."""

import hashlib
import logging
import os
import pickle
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sentiment import process
from sentiment.errors import StoreError, UserError, first_line
from sentiment.machine import PACKAGES
from sentiment.network import checkpoint
from sentiment.runs import store
from sentiment.search import study
from sentiment.search.trial import KEY, THREADS, Task, objective
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
DEATHS = 20  # of workers, while no other one ends well
DIED = "died"  # what came of the work of a worker that died as often as Dask lets one die
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
        with code_shared(client):
            client.run(require_versions, versions())
            yield client


def addresses(client: "distributed.Client") -> list[str]:
    """The workers that there are at the moment; raises UserError where the scheduler is gone."""
    found = client.scheduler_info().get("workers", {})
    if client.status != "running":
        raise UserError(GONE)
    return list(found)


def require_servers(url: str) -> None:
    """Raise UserError where workers elsewhere could not reach the store or this database."""
    if not store.is_server(store.tracking_uri()) or url.startswith(store.SQLITE):
        raise UserError(
            "Workers on other machines reach neither mlflow.db nor sweeps.db in this folder. Name "
            f"a server in MLFLOW_TRACKING_URI and a database such as PostgreSQL in {study.STORAGE}."
        )


@contextmanager
def code_shared(client: "distributed.Client") -> Iterator[None]:
    """In the block, the workers have the package `sentiment` of this folder: they need no clone.

    So has the scheduler, which reads what it passes on. A worker that has the code of an earlier
    sweep forgets it.

    Raises:
        UserError: a worker lacks a package that the code needs.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = zipped(Path(__file__).parents[1], Path(folder))
        name = archive.name
        try:
            send(client, archive)
            if set(client.run(code).values()) != {name}:
                client.run(forget)
                client.run_on_scheduler(forget)
                take_back(client, name)
                send(client, archive)
        except ImportError as error:
            raise UserError(f"A worker lacks a package: {first_line(error)}. {INSTALL}") from error
    try:
        yield
    finally:
        take_back(client, name)


def send(client: "distributed.Client", archive: Path) -> None:
    """Give a file of code to the scheduler and to all workers, also those that come later."""
    from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

    for kind in (SchedulerUploadFile, UploadFile):
        client.register_plugin(kind(str(archive)), name=archive.name)


def take_back(client: "distributed.Client", name: str) -> None:
    """Give it to no more workers; those that have it keep it."""
    with suppress(Exception):  # with the scheduler, it is gone
        client.unregister_scheduler_plugin(name)
        client.unregister_worker_plugin(name)


def require_versions(wanted: Mapping[str, str]) -> None:
    """In a worker: raise UserError where it has other versions of Python or of what computes."""
    found = versions()
    differing = [
        f"{name} {found[name]}, not {wanted[name]}" for name in found if found[name] != wanted[name]
    ]
    if differing:
        raise UserError(
            f"A worker on {platform.node()} has another environment: {'; '.join(differing)}. "
            f"{INSTALL}"
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
    """The name of the zip file, or of the folder, that this process has the package from."""
    return Path(__file__).parents[2].name


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


class Shared(NamedTuple):
    """What a sweep has given to its workers.

    Attributes:
        name: of the plugin that carries what all trials share.
        digest: SHA-256 of that.
        code: where they have the package from, see `code`.
        versions: those that they must have, see `versions`.
    """

    name: str
    digest: str
    code: str
    versions: dict[str, str]


@contextmanager
def shared(client: "distributed.Client", task: Task) -> Iterator[Shared]:
    """In the block, every worker, also one that comes later, has what all trials share.

    As a plugin it is kept by the scheduler: it would be lost with the workers that hold data. It is
    bytes, since a new worker may have the plugin before it has the code.
    """
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):  # type: ignore[misc]
        def __init__(self, content: bytes) -> None:
            self.content = content
            self.trained = 0

    content = pickle.dumps(task)
    client.register_plugin(Carrier(content), name=task.parent)
    names = {*client.run(code).values()}
    try:
        yield Shared(task.parent, hashlib.sha256(content).hexdigest(), names.pop(), versions())
    finally:
        with suppress(Exception):  # with the scheduler, it is gone
            client.unregister_worker_plugin(task.parent)


def received(given: Shared) -> Task:
    """In a worker: what all trials share.

    Raises:
        UserError: it did not arrive as it was sent, or this worker has another environment or code.
    """
    from distributed import get_worker

    require_versions(given.versions)
    if code() != given.code:
        raise UserError(
            f"A worker on {platform.node()} has other code than the sweep: start it again."
        )
    content = get_worker().plugins[given.name].content
    if hashlib.sha256(content).hexdigest() != given.digest:
        raise UserError("The reviews did not arrive as they were sent: start the sweep again.")
    task: Task = pickle.loads(content)
    return task


def work(given: Shared, name: str, url: str, most: int) -> str | None:
    """Take one trial of a study after the other, until all have ended or it is stopped.

    Args:
        given: what the workers were given.
        name: of the study.
        url: of its database.
        most: trials that this process is to train.

    Returns:
        None if all have ended, else the address of this worker, whose process is to be replaced:
        until it is, it takes no more. Without a nanny, which would replace it, it goes on.
    """
    from distributed import get_worker

    task, worker = received(given), get_worker()
    carrier = worker.plugins[given.name]
    os.environ["MLFLOW_TRACKING_URI"] = task.tracking_uri
    process.quiet_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # once: it remembers trials that ended
    found = study.patiently(partial(study.open_study, name, url, task.params.sweep))
    while carrier.trained < most or not worker.nanny:
        if not study.patiently(partial(take, found, task)):
            return None
        carrier.trained += 1
    return str(worker.address)


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
    client: "distributed.Client",
    given: Shared,
    found: "optuna.Study",
    url: str,
    watch: Callable[[], object],
) -> None:
    """Let all workers work on a study until its trials have ended, also those that come later.

    Args:
        client: of the workers.
        given: what `shared` has given them.
        found: the study.
        url: of its database.
        watch: called now and then; what it raises ends the search.

    Raises:
        UserError: the scheduler is gone, or so many workers died that more would.
    """

    from distributed import Lock

    def submit() -> "distributed.Future":  # not pure: the same call is made for each worker
        return client.submit(work, given, found.study_name, url, TRIALS_A_PROCESS, pure=False)

    lock = Lock(found.study_name, client.scheduler, client.loop)
    futures, over, deaths = set[Any](), False, 0
    while futures or not over:
        if not over:
            futures |= {submit() for _ in addresses(client)[len(futures) :]}
        done = ended(futures)
        futures.difference_update(done)
        results = [result(future) for future in done]
        over = over or None in results
        if results:
            deaths = deaths + len(results) if {*results} == {DIED} else 0
        if deaths > DEATHS:
            raise UserError(f"Workers died, and all that took their places. {AGAIN}")
        replace(client, [each for each in results if each not in (None, DIED)])
        futures |= {submit() for each in results if each is not None}
        end_stale(lock, found)
        watch()


def ended(futures: Iterable["distributed.Future"]) -> "list[distributed.Future]":
    """Wait a moment for the first ones that are done, or lost with the scheduler."""
    from distributed import wait

    # a scheduler that is gone cancels all, as their status says
    with suppress(TimeoutError, CancelledError, ValueError):
        wait(futures, WATCH_SECONDS, return_when="FIRST_COMPLETED")
    return [each for each in futures if each.done()]


def replace(client: "distributed.Client", used_up: Sequence[str]) -> None:
    """Let workers go on in new processes, those that are still there."""
    with suppress(KeyError, AssertionError, OSError, TimeoutError):
        if used_up:
            client.restart_workers(used_up)


def end_stale(lock: "distributed.Lock", found: "optuna.Study") -> None:
    """Let trials of dead workers wait: the others look only when they look for a trial.

    Args:
        lock: that of the workers: between a trial's end and its new turn, all seems to have ended.
        found: the study.

    Raises:
        UserError: the scheduler is gone, or the database.
    """
    try:
        locked = lock.acquire(timeout=WATCH_SECONDS)
    except OSError as error:
        raise UserError(GONE) from error
    if locked:
        try:
            study.patiently(partial(study.end_stale, found))
        finally:
            lock.release()


def result(future: "distributed.Future") -> Any:
    """What `work` returned, or `DIED`.

    Raises:
        UserError: the scheduler is gone, or this worker cannot do what is wanted.
    """
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise UserError(GONE)
    try:
        return future.result()
    except KilledWorker:
        return DIED
    except ImportError as error:
        raise UserError(f"A worker lacks a package: {first_line(error)}. {INSTALL}") from error
