"""Where the workers of a sweep are: on this machine, or those of a Dask scheduler elsewhere.

Those elsewhere need the environment and nothing else: they get the code of this folder.
"""

import hashlib
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from sentiment.machine import PACKAGES
from sentiment.runs import store
from sentiment.search import study
from sentiment.search.trial import THREADS
from sentiment.serving.cores import usable_cores

if TYPE_CHECKING:
    import distributed

WORKER_GB = 2.7  # memory of one that has trained as many trials as a process does
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
    """So many processes on this machine, which share its cores; gone when the block ends.

    They listen on the loopback only, and take calls only by a key that is made for this cluster:
    otherwise any user of this machine could run code as this one.
    """
    os.environ.setdefault(THREADS, str(threads(workers)))
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of workers that come and go
    import dask
    import distributed

    with (
        dask.config.set(SETTINGS),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            security=True,
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
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two: no certificates
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
            raise lacks_package(error) from error
    try:
        yield
    finally:
        take_back(client, name)


def lacks_package(error: ImportError) -> UserError:
    """What to say of a worker that could not import something."""
    return UserError(f"A worker lacks a package: {first_line(error)}. {INSTALL}")


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
