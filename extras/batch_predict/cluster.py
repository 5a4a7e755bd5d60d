"""Workers that Dask places: processes on this machine, or those of a scheduler elsewhere.

Those on this machine run in this folder, those elsewhere in clones of it at the same commit.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiment.backend import usable_cores
from sentiment.errors import UserError, first_line
from workflow.provenance import NUMERICAL_PACKAGES, git

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS = 10
WATCH_SECONDS = 2.0  # between looks at how far the workers are
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own variable: how many it computes with
SCHEDULER_LOST = (
    "The Dask scheduler does not answer any more. Start what is gone, and this command again."
)
# what computes, and what says which of it shapes a training; settings are sent with each task
CODE = ("dvc.yaml", ":(glob)extras/**/*.py", "sentiment", "stages", "workflow")
Environment = tuple[tuple[str, str], ...]  # names and values


@contextmanager
def local_cluster(workers: int) -> Iterator["distributed.Client"]:
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
def remote_cluster(
    address: str, extra: str, own: Callable[[], Environment], advice: str
) -> Iterator["distributed.Client"]:
    """The workers of the scheduler at this address.

    Args:
        extra: the requirements that they need, such as `sweep`.
        own: what a process has that must be the same in this one and in theirs.
        advice: what to do where it is not.

    Raises:
        UserError: the scheduler does not answer or has no workers, or it or one of them lacks the
            code, or differs.
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
        if not worker_addresses(client):
            raise UserError(
                f"The Dask scheduler at {address} has no workers: start some with "
                f"`python -m dask worker {address} --nthreads 1`, in clones of this repository."
            )
        try:
            client.run_on_scheduler(commit)  # it imports the code that it passes on
            client.run(check_environment, own, own(), advice)
        except (UserError, OSError):
            raise
        except Exception as error:  # Dask wraps what an import raises in a worker
            raise UserError(
                f"The Dask scheduler or a worker cannot import this project: {first_line(error)}. "
                f"Start both in clones of it at this commit, after `make .venv/{extra}`."
            ) from error
        yield client


def worker_addresses(client: "distributed.Client") -> list[str]:
    """The workers at the moment; raises UserError where the scheduler is gone."""
    workers = client.scheduler_info().get("workers", {})
    if client.status != "running":
        raise UserError(SCHEDULER_LOST)
    return list(workers)


def wait_for_any(futures: "set[distributed.Future]") -> "set[distributed.Future]":
    """Wait a moment for the first ones that are done, or lost with the scheduler."""
    from distributed import wait

    if not futures:
        time.sleep(WATCH_SECONDS)
    # a scheduler that is gone cancels all, as their status says
    with suppress(TimeoutError, CancelledError, ValueError):
        wait(futures, WATCH_SECONDS, return_when="FIRST_COMPLETED")
    return {future for future in futures if future.done()}


def task_result(future: "distributed.Future") -> Any:
    """What a task returned; nothing where Dask gave up, since it killed several workers.

    Raises:
        UserError: the scheduler is gone, or the task raised it.
    """
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        return future.result()
    except KilledWorker:  # a task that kills each of them is given up in the end
        return None
    except (CommClosedError, CancelledError) as error:
        raise UserError(SCHEDULER_LOST) from error


def package_versions(*packages: str) -> Environment:
    """The commit, and the versions by which results can differ or a task fail."""
    names = (*NUMERICAL_PACKAGES, "mlflow", "distributed", *packages)
    python = ("Python", platform.python_version())
    return (("commit", commit()), python, *((name, version(name)) for name in names))


def check_environment(own: Callable[[], Environment], required: Environment, advice: str) -> None:
    """In a worker: raise UserError, with this advice, where its own environment is another one."""
    there = dict(own())
    differing = "; ".join(
        f"{name} {there.get(name, 'unknown')}, not {wanted}"
        for name, wanted in required
        if there.get(name) != wanted
    )
    if differing:
        raise UserError(f"A worker on {platform.node()} differs: {differing}. {advice}")


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
