"""`make faults`: break a training in many ways, do what a user would do next, see what was lost.

Each try is a copy of a small project with one run in its store. A training of it is begun and
broken; then comes `dvc repro`, or what the fault names. Nothing is lost if afterwards `data/` has
the same bits as that of a training that nothing disturbed, and the store one new run, finished,
with one point an epoch, the test's metrics and the model. Writes `faults.md` beside this file.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import psutil

from sentiment.network import checkpoint
from sentiment.network.checkpoint import METRICS
from tests.project import (
    DEFAULT_PARAMS,
    EPOCHS,
    QUIET,
    SMALL,
    Project,
    change_params,
    default_signals,
    free_port,
    until,
    wait_for,
)
from tools import verify
from tools.running import cli

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("faults.md")
SEED = 0
SYNC = ("python", "-m", "tools.sync")
REPRO = ("dvc", "repro")
MAKE_REPRO = ("python", "-m", "tools.repro")
UNTRIED = """
Not tried: loss of power (a test watches that files and folders are flushed to the disk before they
are moved into place), a folder on a network file system, and two machines that work in one folder
at the same time.
"""


class Try(NamedTuple):
    """One try of a fault.

    Attributes:
        project: a finished project whose next `dvc repro` trains for `EPOCHS` epochs.
        seconds: how long that takes undisturbed.
        rng: draws the moment.
    """

    project: Project
    seconds: float
    rng: random.Random


class Fault(NamedTuple):
    """A way to break a training, with what the user does next."""

    what: str
    tries: int
    happen: Callable[[Try], None]


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


def checkpoints(project: Project) -> list[Path]:
    return sorted(project.path.glob(f"{checkpoint.FOLDER}/*/epoch-*"))


def tree(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """A process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    return []


def trainer(project: Project) -> psutil.Process:
    """The process that trains, once it has come to its third epoch."""
    until(lambda: len(checkpoints(project)) >= 2)
    (holder,) = project.path.glob(f"{checkpoint.FOLDER}/*/process")
    return psutil.Process(int(holder.read_text(encoding="utf-8")))


def kill_all(each: Try) -> None:
    """SIGKILL to DVC and its stage at a random moment."""
    process = started(each.project, *REPRO)
    time.sleep(each.rng.uniform(0, each.seconds))
    for one in tree(process):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    each.project.run(*REPRO)


def kill_dvc(each: Try) -> None:
    """SIGKILL to DVC alone: its stage must end."""
    process = started(each.project, *REPRO)
    orphan = trainer(each.project)
    process.kill()
    process.wait()
    orphan.wait(timeout=30)
    each.project.run(*REPRO)


def rename_machine(each: Try) -> None:
    """Kill all, and resume as a machine of another name, such as a container started again."""
    process = started(each.project, *REPRO)
    trainer(each.project).kill()
    process.wait()
    client = client_of(each.project)
    for run in runs(each.project):
        client.set_tag(run.info.run_id, "process.host", "before")
    each.project.run(*REPRO)


def signalled(number: signal.Signals, *command: str) -> Callable[[Try], None]:
    def happen(each: Try) -> None:
        process = started(each.project, *command)
        time.sleep(each.rng.uniform(1, each.seconds))
        with suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(timeout=60)
        each.project.run(*command)

    return happen


def damage_checkpoint(each: Try) -> None:
    """Cut short the newest checkpoint of a killed training, or change a byte of it."""
    process = started(each.project, *REPRO)
    trainer(each.project).kill()
    process.wait()
    damage(checkpoints(each.project)[-1] / checkpoint.MODEL, each.rng)
    each.project.run(*REPRO)


def damage(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content))
    if rng.random() < 0.5:
        content[at] ^= 0xFF
    else:
        del content[at:]
    file.write_bytes(content)


def damage_data(each: Try) -> None:
    """Cut short or change a file of a stage; `dvc repro` brings it back."""
    folder = each.project.path / "data" / each.rng.choice(["fetch", "pad"])
    damage(each.rng.choice(sorted(folder.glob("*.npy"))), each.rng)
    each.project.run(*REPRO)


def fill_disk(each: Try) -> None:
    """Let the disk of the checkpoints be full in the middle; then there is room again."""
    disk = each.project.path / checkpoint.FOLDER
    with small_disk(disk):
        process = started(each.project, *REPRO)
        trainer(each.project)
        free = shutil.disk_usage(disk).free
        with suppress(OSError):
            (disk / "filler").write_bytes(b"\0" * free)
        assert process.wait(timeout=120) != 0, "the disk was not full"
        (disk / "filler").unlink()
        each.project.run(*REPRO)


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


def lock_store(each: Try) -> None:
    """Hold the database's lock until the training is done, then log to it."""
    process = started(each.project, *REPRO)
    training = trainer(each.project)
    with closing(sqlite3.connect(each.project.path / "mlflow.db", timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        until(lambda: not training.is_running() or not checkpoints(each.project), 300)
        database.rollback()
    process.wait(timeout=300)
    each.project.run(*SYNC)


def kill_server(each: Try) -> None:
    """Kill the tracking server in the middle, and start it again when the training is done."""
    port = free_port()
    store = f"sqlite:///{each.project.path}/mlflow.db"
    files = str(each.project.path.with_name("served"))
    command = ["mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    command += ["--artifacts-destination", files, "--default-artifact-root", files]
    each.project.environment |= QUIET

    def serve() -> "subprocess.Popen[str]":
        process = started(each.project, *command)
        wait_for(f"http://127.0.0.1:{port}/health")
        return process

    server = serve()
    each.project.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    process = started(each.project, *REPRO)
    trainer(each.project)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    process.wait(timeout=300)
    server = serve()
    each.project.run(*SYNC)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def two_at_once(each: Try) -> None:
    """A second `dvc repro` beside a running one must train nothing."""
    process = started(each.project, *REPRO)
    trainer(each.project)
    each.project.fail(*REPRO)
    process.wait(timeout=300)


def move(each: Try) -> None:
    """Move the folder when all is done, and use it there."""
    import mlflow

    each.project.run(*REPRO)
    elsewhere = each.project.path.with_name("moved")
    each.project.path.rename(elsewhere)
    each.project.path = elsewhere
    each.project.run(*SYNC)
    with inside(elsewhere):
        run, _ = runs(each.project)
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


def delete_store(each: Try) -> None:
    """Delete the store; what `data/` has is logged to a new one."""
    each.project.run(*REPRO)
    (each.project.path / "mlflow.db").unlink()
    shutil.rmtree(each.project.path / "mlruns")
    each.project.run(*SYNC)


def restore_from_cache(each: Try) -> None:
    """Come back to earlier params: DVC restores from its cache, and the run is the same one."""
    each.project.run(*REPRO)
    each.project.change(train={"epochs": 2})
    each.project.run(*REPRO)
    each.project.change(train={"epochs": EPOCHS})
    each.project.run(*REPRO)
    each.project.run(*SYNC)


FAULTS = [
    Fault("SIGKILL to DVC and its stage, at a random moment", 20, kill_all),
    Fault("SIGKILL to DVC alone", 3, kill_dvc),
    Fault("SIGTERM to `dvc repro`", 3, signalled(signal.SIGTERM, *REPRO)),
    Fault("SIGTERM to `make repro`", 3, signalled(signal.SIGTERM, *MAKE_REPRO)),
    Fault("SIGINT to `make repro`", 3, signalled(signal.SIGINT, *MAKE_REPRO)),
    Fault("SIGHUP to `make repro`", 3, signalled(signal.SIGHUP, *MAKE_REPRO)),
    Fault("killed, then resumed by a machine of another name", 3, rename_machine),
    Fault("newest checkpoint cut short or changed", 5, damage_checkpoint),
    Fault("data file cut short or changed", 5, damage_data),
    Fault("disk of the checkpoints full, then not", 3, fill_disk),
    Fault("store locked from the third epoch to the last", 3, lock_store),
    Fault("tracking server killed, then started again", 3, kill_server),
    Fault("second `dvc repro` beside the first", 3, two_at_once),
    Fault("folder moved", 3, move),
    Fault("store deleted", 3, delete_store),
    Fault("restored from DVC's run cache", 3, restore_from_cache),
]


def client_of(project: Project) -> "MlflowClient":
    """A client of a project's own store."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{project.path}/mlflow.db")


def runs(project: Project) -> "list[Run]":
    """All runs of a project's own store, the newest first."""
    client = client_of(project)
    experiment = client.get_experiment_by_name("imdb-lstm")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def losses(project: Project, undisturbed: Path) -> list[str]:
    """What is not as it would be if nothing had happened."""
    lost = [f"{name} differs" for name in verify.differences(project.path / "data", undisturbed)]
    found = [
        run for run in runs(project) if run.data.params.get("train.epochs") in (str(EPOCHS), None)
    ]
    if len(found) != 1:
        return [*lost, f"{len(found)} runs"]
    return lost + losses_of_run(project, found[0])


def losses_of_run(project: Project, run: "Run") -> list[str]:
    client = client_of(project)
    lost = [] if run.info.status == "FINISHED" else [f"the run is {run.info.status}"]
    for name in METRICS:
        points = client.get_metric_history(run.info.run_id, name)
        if sorted(point.step for point in points) != list(range(1, EPOCHS + 1)):
            lost.append(f"the curve of {name} has {len(points)} points")
    if "test_accuracy" not in run.data.metrics:
        lost.append("the run lacks the test's metrics")
    if client.get_logged_model(run.data.tags["model.id"]).status != "READY":
        lost.append("the run lacks the model")
    return lost


def finished_project(folder: Path) -> Project:
    """A clone of this commit with small parameters, after its first run."""
    command = ["git", "clone", "--quiet", str(ROOT), str(folder)]
    subprocess.run(command, check=True)
    project = Project(folder)
    shutil.copy2(DEFAULT_PARAMS, folder / "params.yaml")
    change_params(folder / "params.yaml", SMALL)
    project.run(*REPRO)
    project.commit()
    project.change(train={"epochs": EPOCHS})
    return project


def attempt(
    fault: Fault, finished: Project, undisturbed: Path, seconds: float, number: int
) -> list[str]:
    """Try a fault once; return what was lost."""
    # a path of its own: MLflow keeps a database open, and would take it for that of the next try
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=finished.path.parent))
    project = finished.copy(folder / "project")
    try:
        fault.happen(Try(project, seconds, random.Random(f"{SEED} {fault.what} {number}")))
        return losses(project, undisturbed)
    except (AssertionError, TimeoutError, OSError, psutil.Error, subprocess.SubprocessError) as e:
        return [f"{type(e).__name__}: {str(e)[-300:]}"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(scratch: Path, most: int, only: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Try every fault whose name contains `only`; yield its name and what each try lost."""
    finished = finished_project(scratch / "finished")
    undisturbed = Project(scratch / "undisturbed")
    shutil.copytree(finished.path, undisturbed.path, symlinks=True)
    begun = time.monotonic()
    undisturbed.run(*REPRO)
    seconds = time.monotonic() - begun
    for fault in FAULTS:
        if only in fault.what:
            tries = range(min(fault.tries, most))
            data = undisturbed.path / "data"
            yield fault.what, [attempt(fault, finished, data, seconds, each) for each in tries]


def rows_before() -> dict[str, str]:
    """The table's rows of the last run, by fault."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return {
        line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")
    }


def row(what: str, lost: list[list[str]]) -> str:
    """A row of the table, from what each try lost."""
    unharmed = sum(not each for each in lost)
    said = "; ".join(sorted({" ".join(text.split()) for each in lost for text in each})) or "–"
    return f"| {what} | {len(lost)} | {unharmed} | {said} | {datetime.now():%Y-%m-%d} |"


@cli.command(__doc__)
@cli.option(
    "--tries",
    variable="TRIES",
    type=click.IntRange(min=1),
    default=20,
    help="Try each fault so often at most.",
)
@cli.option(
    "--only", variable="ONLY", default="", help="Try just the faults whose name has this in it."
)
def main(tries: int, only: str) -> int:
    rows, any_lost = rows_before() if only else {}, False
    with tempfile.TemporaryDirectory() as scratch:
        for what, lost in measure(Path(scratch), tries, only):
            rows[what] = row(what, lost)
            print(rows[what], flush=True)
            any_lost |= any(lost)
    head = [
        f"# Faults\n\nWritten by `make faults`, {EPOCHS} epochs.\n",
        "| fault | tries | nothing lost | what was lost | tried |",
        "| --- | --- | --- | --- | --- |",
    ]
    table = [rows[fault.what] for fault in FAULTS if fault.what in rows]
    RESULTS.write_text("\n".join([*head, *table, UNTRIED]), encoding="utf-8")
    return int(any_lost)


if __name__ == "__main__":
    cli.run("make faults", main)
