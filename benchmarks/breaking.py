"""What the faults of `benchmarks.faults` are made of."""

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from tests.project import Project, default_signals

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Try(NamedTuple):
    """One try of a fault.

    Attributes:
        project: a finished project whose next command is to be broken.
        seconds: how long that takes undisturbed.
        rng: draws the moment.
        servers: what the try started; they end when it was seen what was lost.
    """

    project: Project
    seconds: float
    rng: random.Random
    servers: ExitStack


class Fault(NamedTuple):
    """A way to break a command, with what the user does next."""

    what: str
    tries: int
    happen: Callable[[Try], None]


class Group(NamedTuple):
    """Faults of one command.

    Attributes:
        changes: to a finished project's params, by sections, after which the command has work.
        command: what is broken.
        losses: what of a project is not as in one in which nothing happened.
        faults: the ways to break it.
    """

    changes: dict[str, Any]
    command: Sequence[str]
    losses: Callable[[Project, Project], list[str]]
    faults: Sequence[Fault]


def started(project: Project, *command: str) -> "subprocess.Popen[str]":
    """Start a command whose output nobody reads, with the default signal handlers."""
    return subprocess.Popen(
        command,
        cwd=project.path,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
        preexec_fn=default_signals,
    )


def tree(process: "subprocess.Popen[Any]") -> list[psutil.Process]:
    """A process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    return []


def kill_tree(process: "subprocess.Popen[Any]") -> None:
    for child in tree(process):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of two megabytes in place of a folder; only root can make one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def client_of(project: Project) -> "MlflowClient":
    """A client of the store that a project logs to."""
    from mlflow import MlflowClient

    own = f"sqlite:///{project.path}/mlflow.db"
    return MlflowClient(project.environment.get("MLFLOW_TRACKING_URI", own))


def runs(project: Project) -> "list[Run]":
    """All runs of a project's own store, the newest first."""
    client = client_of(project)
    experiment = client.get_experiment_by_name("imdb-lstm")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []
