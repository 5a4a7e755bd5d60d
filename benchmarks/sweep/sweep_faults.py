"""Ways to break a sweep, and what of it can be lost.

Each trial draws its learning rate alone: many draw the same, and must have the same curves.
Nothing is lost if afterwards every trial was trained to its end, once, in a finished run of its own
with one point an epoch, and its curve is that of a sweep in which nothing happened.
"""

import os
import shutil
import signal
import sqlite3
import time
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.breaking import (
    Fault,
    Group,
    Try,
    client_of,
    kill_tree,
    runs,
    small_disk,
    started,
    tree,
)
from extras.common.cluster import THREADS
from extras.common.run_groups import PARENT
from extras.sweep import study
from tests.project import EPOCHS, Project, until
from tests.services import Cluster, dask, mlflow_server, postgres
from workflow import checkpoints

if TYPE_CHECKING:
    import subprocess

    import optuna

TRIALS, SEEDS = 6, 2
SWEEP = ("python", "-m", "extras.sweep", "--trials", str(TRIALS), "--workers", "2")
SETTINGS: dict[str, Any] = {
    "sampler": "random",
    "pruner": "none",
    "confirm": {"top": 1, "seeds": SEEDS},
    "space": {"train.learning_rate": {"choices": [0.001, 0.002, 0.003]}},
}
ONE_THREAD = {THREADS: "1"}  # as two workers on two cores have, or the bits would differ
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
DOWN_SECONDS = 10  # of a store


def end(process: "subprocess.Popen[Any]", number: signal.Signals) -> None:
    """Send a signal to a command: an interrupt to all of its group, as a terminal does."""
    with suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)


def wait_for_checkpoint(folder: Path) -> None:
    """Wait until a trial below a folder has a checkpoint."""
    until(lambda: list(folder.glob(f"**/{checkpoints.FOLDER}/*/{checkpoints.STATE_FILE}")))


def kill_some(attempt: Try) -> None:
    """End the command, one of its workers, or all, by one of the signals."""
    process = started(attempt.project, *SWEEP)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    victim, number = attempt.rng.choice(["driver", "worker", "all"]), attempt.rng.choice(SIGNALS)
    workers = [child for child in tree(process)[1:] if "spawn_main" in " ".join(child.cmdline())]
    if victim == "driver":
        end(process, number)
    elif victim == "worker" and workers:
        workers[0].send_signal(number)
    else:
        kill_tree(process)
    process.wait(timeout=300)
    attempt.project.run(*SWEEP)


def two_workers(attempt: Try) -> AbstractContextManager[Cluster]:
    """A cluster of two workers in copies of the project, which know the database of the sweeps."""
    database = attempt.project.environment["SWEEP_STORAGE"]
    beside = attempt.project.path.parent / "cluster"
    return dask(beside, attempt.project.path, 2, SWEEP_STORAGE=database, **ONE_THREAD)


def on_cluster(attempt: Try) -> tuple[Cluster, tuple[str, ...]]:
    """Start servers and a cluster of two; return it, and the command that uses it."""
    beside = attempt.project.path.parent
    for name in ("server", "cluster"):
        (beside / name).mkdir(exist_ok=True)
    server = attempt.servers.enter_context(mlflow_server(beside / "server"))
    database = attempt.servers.enter_context(postgres())
    attempt.project.environment |= {
        "MLFLOW_TRACKING_URI": server,
        "SWEEP_STORAGE": database.address,
    }
    cluster = attempt.servers.enter_context(two_workers(attempt))
    return cluster, (*SWEEP[:-2], "--scheduler", cluster.address)


def kill_part_of_cluster(attempt: Try) -> None:
    """Kill the scheduler, a worker or everything; then start anew what is gone."""
    cluster, command = on_cluster(attempt)
    process = started(attempt.project, *command)
    time.sleep(attempt.rng.uniform(1, attempt.seconds))
    victim, number = attempt.rng.choice(["scheduler", "worker", "all"]), attempt.rng.choice(SIGNALS)
    # not to a group: these are started without one of their own
    (cluster.workers[0] if victim == "worker" else cluster.scheduler).send_signal(number)
    if victim == "all":
        kill_tree(process)
    process.wait(timeout=300)
    if victim != "worker":
        for one in (*cluster.workers, cluster.scheduler):
            kill_tree(one)
        cluster = attempt.servers.enter_context(two_workers(attempt))
        command = (*command[:-1], cluster.address)
    attempt.project.run(*command)


def fill_disk_of_worker(attempt: Try) -> None:
    """Let the disk of one of two workers be full during a whole sweep."""
    folder = attempt.project.path.parent / "cluster" / "worker-0" / checkpoints.FOLDER
    folder.parent.mkdir(parents=True)
    with small_disk(folder):
        (folder / "filler").write_bytes(b"\0" * shutil.disk_usage(folder).free)
        _, command = on_cluster(attempt)
        attempt.project.run(*command, status=None)
        (folder / "filler").unlink()
        attempt.project.run(*command)


def lock_database(name: str) -> "Any":
    """A fault that holds the lock of a database in the middle of a sweep."""

    def happen(attempt: Try) -> None:
        process = started(attempt.project, *SWEEP)
        wait_for_checkpoint(attempt.project.path)
        with closing(sqlite3.connect(attempt.project.path / name, timeout=60)) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(DOWN_SECONDS)
            database.rollback()
        process.wait(timeout=300)
        attempt.project.run(*SWEEP)

    return happen


def kill_server(attempt: Try) -> None:
    """Let the tracking server be away for a while, in the middle of a sweep."""
    beside = attempt.project.path.parent / "server"
    beside.mkdir()
    with mlflow_server(beside) as address:
        attempt.project.environment["MLFLOW_TRACKING_URI"] = address
        process = started(attempt.project, *SWEEP)
        wait_for_checkpoint(attempt.project.path)
    time.sleep(DOWN_SECONDS)
    attempt.servers.enter_context(mlflow_server(beside, port=int(address.rpartition(":")[2])))
    process.wait(timeout=300)
    attempt.project.run(*SWEEP)


def losses(project: Project, undisturbed: Project) -> list[str]:
    """What is not as it would be if nothing had happened."""
    expected, logged = curves(undisturbed), curves(project)
    lost = [f"{len(logged)} trainings"] if len(logged) != TRIALS + SEEDS else []
    by_params = dict(expected)
    for params, curve in logged:
        if len(curve) != EPOCHS:
            lost.append(f"a curve has {len(curve)} points")
        elif curve != by_params.setdefault(params, curve):
            lost.append("a curve differs")
    states = [run.info.status for run in runs(project) if run.info.status != "FINISHED"]
    return [*lost, *(f"a run is {state}" for state in states), *unended(project)]


def curves(project: Project) -> list[tuple[str, list[float]]]:
    """Params and curve of each trial's run."""
    client, logged = client_of(project), []
    for run in runs(project):
        if PARENT in run.data.tags:
            points = client.get_metric_history(run.info.run_id, "val_loss")
            values = [point.value for point in sorted(points, key=lambda point: point.step)]
            logged.append((str(sorted(run.data.params.items())), values))
    return logged


def unended(project: Project) -> list[str]:
    """What is wrong with the trials as Optuna has them."""
    lost = []
    for searched, wanted in zip(studies(project), (TRIALS, SEEDS), strict=True):
        states = [trial.state.name for trial in study.slots(searched)]
        if states != ["COMPLETE"] * wanted or not study.is_over(searched):
            lost.append(f"trials are {', '.join(states)}")
    return lost


def studies(project: Project) -> "list[optuna.Study]":
    """The one that searched, and the one that confirmed."""
    import optuna

    url = project.environment.get(study.STORAGE, f"sqlite:///{project.path}/{study.DATABASE}")
    names = sorted(optuna.get_all_study_names(url), key=len)
    return [optuna.load_study(study_name=name, storage=url) for name in names]


GROUP = Group(
    changes={"train": {"epochs": EPOCHS}, "sweep": SETTINGS},
    command=SWEEP,
    losses=losses,
    faults=[
        Fault("sweep: command, a worker or all ended, at a random moment", 14, kill_some),
        Fault(
            "sweep on a cluster: scheduler, a worker or all ended, at a random moment",
            6,
            kill_part_of_cluster,
        ),
        Fault("sweep on a cluster: disk of one worker full, then not", 3, fill_disk_of_worker),
        Fault("sweep: store locked for 10 s", 3, lock_database("mlflow.db")),
        Fault("sweep: Optuna's database locked for 10 s", 3, lock_database(study.DATABASE)),
        Fault("sweep: tracking server killed, then started again", 3, kill_server),
    ],
)
