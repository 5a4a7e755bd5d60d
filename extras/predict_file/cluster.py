"""Dask workers: processes on this machine, or workers of a scheduler elsewhere.

Workers on this machine run in this folder, those on other machines in clones at the same commit.
"""

import os
import platform
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extras.common.threads import THREADS
from sentiment.errors import UserError, first_line
from workflow.provenance import NUMERICAL_PACKAGES, git

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS = 10
SCHEDULER_LOST = (
    "The connection to the Dask scheduler is lost. Restart the scheduler and its workers, then run "
    "this command again."
)
# Code and packages that must be the same on every worker
CODE = ("dvc.yaml", ":(glob)extras/**/*.py", "sentiment", "stages", "workflow")
PACKAGES = (*NUMERICAL_PACKAGES, "mlflow", "distributed")
Environment = tuple[tuple[str, str], ...]  # names and values


@contextmanager
def local_cluster(workers: int) -> Iterator["distributed.Client"]:
    """Start processes on this machine that use one core each; yield their client.

    They listen on the loopback address and accept only calls with a certificate of their own.
    Otherwise any user of this machine could run code in them.

    Args:
        workers: number of processes.
    """
    os.environ.setdefault(THREADS, "1")
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # not each worker that stops
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
def remote_cluster(url: str) -> Iterator["distributed.Client"]:
    """Connect to a scheduler, check its workers, and yield its client.

    Args:
        url: the scheduler's URL.

    Raises:
        UserError: the scheduler cannot be reached or has no workers, or the code or the packages
            of a worker are not the ones here.
    """
    import distributed

    try:
        client = distributed.Client(url, timeout=CONNECT_SECONDS)
    # TypeError and RuntimeError: a tls:// URL without certificates
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"The Dask scheduler at {url} does not answer: {first_line(error)}\n"
            "Start it with `python -m dask scheduler`, or leave SCHEDULER out."
        ) from None
    with client:
        workers = client.scheduler_info().get("workers", {})
        if client.status != "running":
            raise UserError(SCHEDULER_LOST)
        if not workers:
            raise UserError(
                f"The Dask scheduler at {url} has no workers. Start some with "
                f"`python -m dask worker {url} --nthreads 1`, in clones of this repository."
            )
        try:
            client.run_on_scheduler(commit)  # it also imports the code that it passes on
            client.run(check_environment, environment())
        except (UserError, OSError):
            raise
        except Exception as error:  # Dask wraps the errors of an import in a worker
            raise UserError(
                f"The Dask scheduler or a worker cannot import this project: {first_line(error)}. "
                "Start both in clones of it at this commit, after `make .venv/batch_predict`."
            ) from error
        yield client


def task_result(future: "distributed.Future") -> Any:
    """Return the result of a task.

    Raises:
        UserError: the scheduler is lost, the task killed several workers, or the task raised it.
    """
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        return future.result()
    except KilledWorker:
        raise UserError(
            "A part killed each worker that tried it. Give the workers more memory."
        ) from None
    except (CommClosedError, CancelledError) as error:
        raise UserError(SCHEDULER_LOST) from error


def environment() -> Environment:
    """Return the commit and the versions of packages on which a prediction depends."""
    python = ("Python", platform.python_version())
    return (("commit", commit()), python, *((name, version(name)) for name in PACKAGES))


def check_environment(required: Environment) -> None:
    """Check, in a worker, that its environment is the one of the command.

    Raises:
        UserError: it is not.
    """
    own = dict(environment())
    differing = "; ".join(
        f"{name} {own.get(name, 'unknown')}, not {value}"
        for name, value in required
        if own.get(name) != value
    )
    if differing:
        raise UserError(
            f"A worker on {platform.node()} differs: {differing}. Bring its clone to this commit, "
            "run `make .venv/batch_predict` there, and start it again."
        )


@cache
def commit() -> str:
    """Return the commit of the code in this process.

    It is cached, because the clone may move on while the process runs.

    Raises:
        UserError: its code is not committed.
    """
    if changed := git("status", "--porcelain", "--untracked-files=all", "--", *CODE):
        raise UserError(
            f"{Path.cwd()} on {platform.node()} has uncommitted changes:\n{changed}\nWorkers on "
            "other machines run clones at the same commit. Commit the code, and bring them to that "
            "commit."
        )
    return git("rev-parse", "HEAD")
