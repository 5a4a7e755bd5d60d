"""Where the workers of a sweep are: on this machine, or those of a Dask scheduler elsewhere.

Those on this machine run in this folder, those elsewhere in clones of it at the same commit.
"""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from extras.sweep import study
from extras.sweep.trial import THREADS
from sentiment.backend import usable_cores
from sentiment.errors import UserError, first_line
from workflow import files
from workflow.files import FETCH
from workflow.runs import store
from workflow.runs.identity import COMPUTING, git

if TYPE_CHECKING:
    import distributed

WORKER_GB = 2.7  # memory of one that has trained as many trials as a process does
CONNECT_SECONDS = 10
GONE = "The Dask scheduler does not answer any more. Start what is gone, and this command again."
# what trains, and what says which of it shapes a training; settings are sent with each task
CODE = ("dvc.yaml", ":(glob)extras/**/*.py", "sentiment", "stages", "workflow")
Environment = tuple[tuple[str, str], ...]  # names and values


def fitting() -> int:
    """How many workers this machine has cores and free memory for, at least one."""
    import psutil

    by_memory = int(psutil.virtual_memory().available / (1e9 * WORKER_GB))
    return max(1, min(usable_cores() or 1, by_memory))


@contextmanager
def local(workers: int) -> Iterator["distributed.Client"]:
    """So many processes on this machine, which share its cores.

    They listen on the loopback and take calls by a key of their own: otherwise any user of this
    machine could run code as this one.
    """
    os.environ.setdefault(THREADS, str(max(1, (usable_cores() or 1) // workers)))
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of workers that come and go
    import distributed

    with (
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
def connected(address: str, required: Environment) -> Iterator["distributed.Client"]:
    """The workers of the scheduler at this address.

    Raises:
        UserError: the scheduler does not answer or has no workers, or it or one of them lacks the
            sweep's code, packages, reviews or database.
    """
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two: no certificates
        raise UserError(
            f"The Dask scheduler at {address} does not answer: {first_line(error)}\n"
            "Start it with `python -m dask scheduler`, or leave SCHEDULER out."
        ) from None
    with client:
        if not addresses(client):
            raise UserError(
                f"The Dask scheduler at {address} has no workers: start some with "
                f"`python -m dask worker {address} --nthreads 1`, in clones of this repository."
            )
        try:
            client.run_on_scheduler(commit)  # it imports the code that it passes on
            client.run(require_same, required)
        except (UserError, OSError):
            raise
        except Exception as error:  # Dask wraps what an import raises in a worker
            raise UserError(
                f"The Dask scheduler or a worker cannot import this project: {first_line(error)}. "
                "Start both in clones of it at this commit, after `make .venv/sweep`."
            ) from error
        yield client


def addresses(client: "distributed.Client") -> list[str]:
    """The workers at the moment; raises UserError where the scheduler is gone."""
    workers = client.scheduler_info().get("workers", {})
    if client.status != "running":
        raise UserError(GONE)
    return list(workers)


def require_shared() -> None:
    """Raise UserError where workers elsewhere could not reach the stores."""
    local = study.address().startswith(store.SQLITE)
    if local or not store.is_server(store.tracking_uri()):
        raise UserError(
            "Workers on other machines reach neither mlflow.db nor sweeps.db in this folder. Name "
            f"a server in MLFLOW_TRACKING_URI and a database such as PostgreSQL in {study.STORAGE}."
        )


def reviews() -> Environment:
    """Which training part `data/fetch` has."""
    try:
        return ((str(FETCH), files.short_digest(FETCH, files.arrays("train"))),)
    except UserError:
        return ((str(FETCH), "missing"),)


def environment() -> Environment:
    """What must be the same wherever trials of a sweep are trained, fit to be shown.

    Versions are those by which results can differ, or trials fail.
    """
    packages = (*COMPUTING, "mlflow", "optuna", "distributed")
    return (
        ("commit", commit()),
        ("Python", platform.python_version()),
        *((package, version(package)) for package in packages),
        *reviews(),
        # without user, password and options, which may be secret, or another machine's own
        ("database", re.sub("(?<=://)[^/]*@", "", study.address()).partition("?")[0]),
    )


def require_same(required: Environment) -> None:
    """In a worker: raise UserError where something of its environment is not as the sweep's."""
    is_here = len(required) == 1  # a process of this machine, whose code may be uncommitted
    own = dict(reviews() if is_here else environment())
    differing = [
        f"{name} {own.get(name, 'unknown')}, not {wanted}"
        for name, wanted in required
        if own.get(name) != wanted
    ]
    if differing and is_here:
        raise UserError(
            f"{FETCH} has other reviews than the sweep began with: run `dvc repro fetch` with the "
            "params that it began with, and `make sweep` again."
        )
    if differing:
        raise UserError(
            f"A worker on {platform.node()} differs from the sweep: {'; '.join(differing)}. Bring "
            "its clone to the sweep's commit, run `make .venv/sweep` and `dvc pull fetch` or `dvc "
            "repro fetch` there, and start it again with the sweep's "
            f"{study.STORAGE} in its environment."
        )


@cache
def commit() -> str:
    """The commit that this process runs: that of its folder when it first looked.

    Raises:
        UserError: its code is not committed.
    """
    if changed := git("status", "--porcelain", "--untracked-files=all", "--", *CODE):
        raise UserError(
            f"{Path.cwd()} on {platform.node()} has uncommitted changes:\n{changed}\nWorkers on "
            "other machines run clones at the same commit. Commit its code, and bring them to that."
        )
    return git("rev-parse", "HEAD")
