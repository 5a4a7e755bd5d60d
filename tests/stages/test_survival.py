"""Nothing is lost: a killed training is resumed to the same bits, in the same run.

Real processes, on the small synthetic set, by the real commands.
"""

import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import mlflow.store.db.utils
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import fluent
from sqlalchemy import event
from sqlalchemy.engine import Engine
from workflow.runs.logger import RunLogger

from stages import pad, train
from tests.conftest import Caller, Starter, epochs, runs
from tests.project import EPOCHS, MODEL, Project, free_port, until
from tests.services import mlflow_server
from tools import sync, verify
from workflow.runs import training_run

# what h5py may print, and Python ignores, when the interpreter ends during a save
H5PY_AT_EXIT = re.compile(
    r"(Exception ignored in: 'h5py[^\n]*\n)?"
    r"Traceback \(most recent call last\):\n"
    r"  File \"h5py/_objects\.pyx\", line \d+, in h5py[^\n]*\n"
    r"KeyError: 0\n"
)


def checkpoints(project: Project) -> list[Path]:
    """The folders of all checkpoints, the newest last."""
    return sorted(project.path.glob(f"{training_run.FOLDER}/*/epoch-*"))


def epochs_done(project: Project) -> int:
    """The last epoch of which there is a checkpoint."""
    return max((int(path.name[-4:]) for path in checkpoints(project)), default=0)


def trainer(project: Project) -> psutil.Process:
    """The process that trains."""
    (holder,) = project.path.glob(f"{training_run.FOLDER}/*/process")
    return psutil.Process(int(holder.read_text(encoding="utf-8")))


def begin(project: Project, start: Starter, *command: str) -> "subprocess.Popen[str]":
    """Start a training, by `dvc repro` if nothing else is said, and let it do two more epochs."""
    process, done = start(project, *(command or ("dvc", "repro"))), epochs_done(project)
    until(lambda: process.poll() is not None or epochs_done(project) >= done + 2)
    assert process.poll() is None, process.communicate()
    return process


def assert_trained(run: Run, last: int = EPOCHS) -> None:
    """The run is finished, has its model, and every curve has one point an epoch."""
    assert run.info.status == "FINISHED"
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"):
        assert epochs(run.info.run_id, name) == list(range(1, last + 1)), name
    model = mlflow.get_logged_model(run.data.tags["model.id"])
    assert model.status == "READY"


def assert_complete(run: Run) -> None:
    """The run has all of its training, and its evaluation."""
    assert_trained(run)
    assert "test_accuracy" in run.data.metrics


def assert_killed(run: Run) -> None:
    """The run is killed, and its curves have one point for each epoch up to then."""
    assert run.info.status == "KILLED"
    logged = epochs(run.info.run_id)
    assert logged
    assert logged == list(range(1, len(logged) + 1))


def test_killed_training_is_resumed_in_the_same_run_to_the_same_bits(
    project: Project, start: Starter, call: Caller, undisturbed: Path
) -> None:
    """By SIGKILL, and by SIGTERM, which it sends itself when the DVC that runs it is killed.

    In the end, `make repro` mends the lock file that DVC was killed over, and passes over a
    checkpoint that was cut short.
    """
    project.change(train={"epochs": EPOCHS})
    process = begin(project, start, "python", "-m", "stages.train")
    process.kill()
    process.communicate(timeout=300)
    assert runs()[0].info.status == "RUNNING"
    call(sync.main)
    assert_killed(runs()[0])

    process = begin(project, start)
    orphan = trainer(project)
    process.kill()
    orphan.wait(timeout=150)
    output, _ = process.communicate(timeout=300)
    assert "Resuming after epoch" in output
    assert "Traceback" not in H5PY_AT_EXIT.sub("", output)
    assert_killed(runs()[0])

    (project.path / ".dvc" / "tmp" / "rwlock").write_text("", encoding="utf-8")
    done = epochs_done(project)
    weights = checkpoints(project)[-1] / "state.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    output = project.run("python", "-m", "tools.repro")
    assert "A damaged checkpoint is skipped" in output
    assert f"Resuming after epoch {done - 1}" in output
    assert verify.differences(project.path / "data", undisturbed) == set()
    new, _ = runs()
    assert_complete(new)
    assert checkpoints(project) == []


def test_a_second_training_is_refused_and_ctrl_c_at_make_repro_kills_the_first_but_no_files(
    project: Project, start: Starter
) -> None:
    project.change(train={"epochs": 1000})
    before = project.contents("data")
    process = begin(project, start, "python", "-m", "tools.repro")
    training = trainer(project)
    training.suspend()
    repeated = project.fail("dvc", "repro")
    again = project.fail("python", "-m", "stages.train")
    done = epochs_done(project)
    training.resume()
    until(lambda: epochs_done(project) > done)
    assert str(training.ppid()) in repeated
    assert "Training by" not in repeated
    assert f"running already, in process {training.pid}" in again
    assert "Traceback" not in again
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode not in (0, None)
    assert "Traceback" not in H5PY_AT_EXIT.sub("", output)
    assert project.contents("data") == before
    assert len(runs()) == 2
    assert_killed(runs()[0])


def test_server_that_dies_costs_no_epoch_and_is_completed_later(
    project: Project,
    start: Starter,
    call: Caller,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the runs by its address alone."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    own = {run.info.run_id for run in runs()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    project.environment["MLFLOW_TRACKING_URI"] = address
    project.change(train={"epochs": EPOCHS})
    with mlflow_server(project.path.parent, port):
        training = begin(project, start)
        (begun,) = mlflow.MlflowClient().search_runs(["1"])
    output, _ = training.communicate(timeout=600)
    assert training.returncode == 0, output
    assert begun.data.params["train.epochs"] == str(EPOCHS)
    assert "make sync" in output
    assert "Traceback" not in output
    assert verify.differences(project.path / "data", undisturbed) == set()
    with mlflow_server(project.path.parent, port):
        call(sync.main)
        (run,) = runs()
        assert run.info.run_id == begun.info.run_id
        assert_complete(run)
        assert "restored_from" not in run.data.tags
        (version,) = mlflow.MlflowClient().search_model_versions()
        assert (version.name, version.run_id) == (MODEL, run.info.run_id)
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    assert {run.info.run_id for run in runs()} == own


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow waits for a locked database less long."""

    def shorter(_: Any, __: Any, statement: str, values: Any, *___: Any) -> tuple[str, Any]:
        return re.sub(r"busy_timeout = \d+", "busy_timeout = 200", statement), values

    event.listen(Engine, "before_cursor_execute", shorter, retval=True)
    monkeypatch.setattr(mlflow.store.db.utils, "MAX_RETRY_COUNT", 1)
    yield
    event.remove(Engine, "before_cursor_execute", shorter)


@pytest.fixture
def database(project: Project) -> Iterator[sqlite3.Connection]:
    """The store's database."""
    with closing(sqlite3.connect(project.path / "mlflow.db")) as connection:
        yield connection


@pytest.mark.usefixtures("impatient")
def test_store_that_is_locked_or_does_not_answer_is_one_message_and_loses_nothing(
    project: Project, call: Caller, database: sqlite3.Connection
) -> None:
    project.change(train={"epochs": 3})
    before = project.contents("data")
    database.execute("BEGIN EXCLUSIVE")
    assert re.search("cannot be used.*locked", call.fail(train.main))
    assert "does not answer" in call.fail(train.main, MLFLOW_TRACKING_URI="http://127.0.0.1:9/")
    assert project.contents("data") == before


@pytest.mark.usefixtures("impatient", "project")
def test_store_that_is_locked_meanwhile_costs_no_epoch(
    call: Caller, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_epoch = RunLogger.epoch

    def lock(log: RunLogger, number: int, row: dict[str, float]) -> None:
        if number == 2:
            database.execute("BEGIN EXCLUSIVE")
        log_epoch(log, number, row)

    monkeypatch.setattr(RunLogger, "epoch", lock)
    output = call(train.main)
    assert output.count("cannot be used") == 1
    # as when the training's process ends
    fluent._active_run_stack.get().clear()  # type: ignore[no-untyped-call]
    database.rollback()
    call(sync.main)
    assert_trained(runs()[0], 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # arrays may be mapped yet


def test_full_disk_is_one_message_and_what_was_there_stays(
    project: Project, call: Caller, small_disk: Path
) -> None:
    """A training fills it by its checkpoints, `pad` by its outputs."""
    before = project.contents("data")
    project.change(train={"units": 128, "epochs": 1})
    for place, stage in ((training_run.FOLDER, train), ("data", pad)):
        kept = small_disk / place
        (project.path / place).mkdir(exist_ok=True)
        shutil.copytree(project.path / place, kept, symlinks=True)
        shutil.rmtree(project.path / place)
        (project.path / place).symlink_to(kept)
        filler = small_disk / "filler"
        filler.write_bytes(b"\0" * max(0, shutil.disk_usage(small_disk).free - 10_000))
        output = call.fail(stage.main)
        assert "No space left on device" in output
        assert "Free some space" in output
        assert project.contents("data") == before
        filler.unlink()
