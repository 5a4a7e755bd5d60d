"""Ways to break a training, and what of it can be lost.

Nothing is lost if afterwards `data/` has the same bits as that of a training that nothing
disturbed, and the store one new run, finished, with one point an epoch, the test's metrics and the
model.
"""

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.breaking import Fault, Group, Try, client_of, kill_tree, runs, small_disk, started
from sentiment.network.progress import METRICS
from sentiment.network.training import EPOCHS as SAVED_EPOCHS
from tests.project import EPOCHS, QUIET, Project, free_port, until, wait_for
from tools import verify
from workflow import checkpoints, tracking

if TYPE_CHECKING:
    import subprocess

    from mlflow.entities import Run

SYNC = ("python", "-m", "tools.sync")
REPRO = ("dvc", "repro")
MAKE_REPRO = ("python", "-m", "tools.repro")


def states(project: Project) -> list[Path]:
    """Return the files with the state of the training, if it goes on."""
    return [*project.path.glob(f"{checkpoints.FOLDER}/*/{checkpoints.STATE_FILE}")]


def epochs_trained(project: Project) -> int:
    """Return how many epochs the state of the training has; 0 if no training goes on."""
    for state in states(project):
        with suppress(FileNotFoundError), np.load(state) as arrays:
            return len(arrays[SAVED_EPOCHS])
    return 0


def trainer(project: Project) -> psutil.Process:
    """Return the process that trains, once it trains its third epoch."""
    until(lambda: epochs_trained(project) >= 2)
    (process,) = project.path.glob(f"{checkpoints.FOLDER}/*/{checkpoints.PROCESS_FILE}")
    return psutil.Process(int(process.read_text(encoding="utf-8")))


def kill_all(attempt: Try) -> None:
    """SIGKILL to DVC and its stage at a random moment; DVC may have written half of its lock."""
    process = started(attempt.project, *REPRO)
    time.sleep(attempt.rng.uniform(0, attempt.seconds))
    kill_tree(process)
    if "dvc.lock' validation failed" in attempt.project.run(*MAKE_REPRO, status=None):
        attempt.project.run("git", "checkout", "dvc.lock")  # as docs/troubleshooting.md says
    attempt.project.run(*MAKE_REPRO)


def kill_dvc(attempt: Try) -> None:
    """SIGKILL to DVC alone: its stage trains on, and a second one is refused until it is done."""
    process = started(attempt.project, *REPRO)
    orphan = trainer(attempt.project)
    process.kill()
    process.wait()
    assert "running already" in attempt.project.fail(*REPRO)
    orphan.wait(timeout=300)
    attempt.project.run(*REPRO)


def signalled(number: signal.Signals, *command: str) -> Callable[[Try], None]:
    def happen(attempt: Try) -> None:
        process = started(attempt.project, *command)
        time.sleep(attempt.rng.uniform(1, attempt.seconds))
        with suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(timeout=60)
        attempt.project.run(*command)

    return happen


def damage_checkpoint(attempt: Try) -> None:
    """Cut short the checkpoint of a killed training, or change a byte of it."""
    process = started(attempt.project, *REPRO)
    trainer(attempt.project).kill()
    process.wait()
    (state,) = states(attempt.project)
    damage(state, attempt.rng)
    attempt.project.run(*REPRO)
    # The training starts again in another run, and nothing ends the run that was killed.
    client = client_of(attempt.project)
    for run in runs(attempt.project):
        if run.info.status == "RUNNING":
            client.delete_run(run.info.run_id)


def damage(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content))
    if rng.random() < 0.5:
        content[at] ^= 0xFF
    else:
        del content[at:]
    file.write_bytes(content)


def damage_data(attempt: Try) -> None:
    """Cut short or change a file of a stage; `dvc repro` brings it back."""
    folder = attempt.project.path / "data" / attempt.rng.choice(["fetch", "pad"])
    damage(attempt.rng.choice(sorted(folder.glob("*.npy"))), attempt.rng)
    attempt.project.run(*REPRO)


def fill_disk(attempt: Try) -> None:
    """Let the disk of the checkpoints be full in the middle; then there is room again."""
    disk = attempt.project.path / checkpoints.FOLDER
    with small_disk(disk):
        process = started(attempt.project, *REPRO)
        trainer(attempt.project)
        free = shutil.disk_usage(disk).free
        with suppress(OSError):
            (disk / "filler").write_bytes(b"\0" * free)
        assert process.wait(timeout=120) != 0, "the disk was not full"
        (disk / "filler").unlink()
        attempt.project.run(*REPRO)


def lock_store(attempt: Try) -> None:
    """Hold the database's lock until the training is done, then log to it."""
    process = started(attempt.project, *REPRO)
    training = trainer(attempt.project)
    with closing(sqlite3.connect(attempt.project.path / "mlflow.db", timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        until(lambda: not training.is_running() or not states(attempt.project), 300)
        database.rollback()
    process.wait(timeout=300)
    attempt.project.run(*SYNC)


def kill_server(attempt: Try) -> None:
    """Kill the tracking server in the middle, and start it again when the training is done."""
    port = free_port()
    store = f"sqlite:///{attempt.project.path}/mlflow.db"
    files = str(attempt.project.path.with_name("served"))
    command = ["mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    command += ["--artifacts-destination", files, "--default-artifact-root", files]
    attempt.project.environment |= QUIET

    def serve() -> "subprocess.Popen[str]":
        process = started(attempt.project, *command)
        wait_for(f"http://127.0.0.1:{port}/health")
        return process

    server = serve()
    attempt.project.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    process = started(attempt.project, *REPRO)
    trainer(attempt.project)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    process.wait(timeout=300)
    server = serve()
    attempt.project.run(*SYNC)
    del attempt.project.environment["MLFLOW_TRACKING_URI"]  # its store is the project's own
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def two_at_once(attempt: Try) -> None:
    """A second `dvc repro` beside a running one must train nothing."""
    process = started(attempt.project, *REPRO)
    trainer(attempt.project)
    attempt.project.fail(*REPRO)
    process.wait(timeout=300)


def move(attempt: Try) -> None:
    """Move the folder when all is done, and use it there."""
    import mlflow

    attempt.project.run(*REPRO)
    elsewhere = attempt.project.path.with_name("moved")
    attempt.project.path.rename(elsewhere)
    attempt.project.path = elsewhere
    attempt.project.run(*SYNC)
    with inside(elsewhere):
        run, _ = runs(attempt.project)
        artifact = f"runs:/{run.info.run_id}/evaluate/accuracy.png"
        store = f"sqlite:///{elsewhere}/mlflow.db"
        mlflow.artifacts.download_artifacts(artifact, tracking_uri=store)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in a folder: artifact locations are relative to the project's root."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def delete_store(attempt: Try) -> None:
    """Delete the store; what `data/` has is logged to a new one."""
    attempt.project.run(*REPRO)
    (attempt.project.path / "mlflow.db").unlink()
    shutil.rmtree(attempt.project.path / "mlruns")
    attempt.project.run(*SYNC)


def restore_earlier_params(attempt: Try) -> None:
    """Come back to earlier params: the result is restored, and the run is the same one."""
    attempt.project.run(*REPRO)
    attempt.project.change(train={"epochs": 2})
    attempt.project.run(*REPRO)
    attempt.project.change(train={"epochs": EPOCHS})
    attempt.project.run(*REPRO)
    attempt.project.run(*SYNC)


def losses(project: Project, undisturbed: Project) -> list[str]:
    """What is not as it would be if nothing had happened."""
    folders = (project.path / "data", undisturbed.path / "data")
    lost = [f"{name} differs" for name in verify.differing_files(*folders)]
    trained = [
        run for run in runs(project) if run.data.params.get("train.epochs") in (str(EPOCHS), None)
    ]
    if len(trained) != 1:
        return [*lost, f"{len(trained)} runs"]
    return lost + losses_of_run(project, trained[0])


def losses_of_run(project: Project, run: "Run") -> list[str]:
    client = client_of(project)
    lost = [] if run.info.status == "FINISHED" else [f"the run is {run.info.status}"]
    for name in METRICS:
        points = client.get_metric_history(run.info.run_id, name)
        if sorted(point.step for point in points) != list(range(1, EPOCHS + 1)):
            lost.append(f"the curve of {name} has {len(points)} points")
    if "test_accuracy" not in run.data.metrics:
        lost.append("the run lacks the test's metrics")
    is_model = f"source_run_id = '{run.info.run_id}' AND name = '{tracking.KERAS_MODEL}'"
    models = client.search_logged_models([run.info.experiment_id], is_model)
    if [model.status for model in models] != ["READY"]:
        lost.append("the run lacks the model, or has further ones")
    return lost


GROUP = Group(
    changes={"train": {"epochs": EPOCHS}},
    command=REPRO,
    losses=losses,
    faults=[
        Fault("SIGKILL to DVC and its stage at a random moment, then `make repro`", 20, kill_all),
        Fault("SIGKILL to DVC alone", 3, kill_dvc),
        Fault("SIGTERM to `dvc repro`", 3, signalled(signal.SIGTERM, *REPRO)),
        Fault("SIGTERM to `make repro`", 3, signalled(signal.SIGTERM, *MAKE_REPRO)),
        Fault("SIGINT to `make repro`", 3, signalled(signal.SIGINT, *MAKE_REPRO)),
        Fault("SIGHUP to `make repro`", 3, signalled(signal.SIGHUP, *MAKE_REPRO)),
        Fault("checkpoint cut short or changed", 5, damage_checkpoint),
        Fault("data file cut short or changed", 5, damage_data),
        Fault("disk of the checkpoints full, then not", 3, fill_disk),
        Fault("store locked from the third epoch to the last", 3, lock_store),
        Fault("tracking server killed, then started again", 3, kill_server),
        Fault("second `dvc repro` beside the first", 3, two_at_once),
        Fault("folder moved", 3, move),
        Fault("store deleted", 3, delete_store),
        Fault("earlier params restored", 3, restore_earlier_params),
    ],
)
