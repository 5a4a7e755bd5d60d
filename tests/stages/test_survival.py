"""Nothing is lost: a killed training is resumed to the same bits, in the same run.

Real processes, on the small synthetic set, by the real commands.
"""

import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
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

from stages import evaluate, train
from tests.conftest import Caller, Sharer, Starter, runs, stand_in
from tests.project import EPOCHS, MODEL, QUIET, Project, free_port, until, wait_for
from tools import sync, verify
from workflow import files
from workflow.runs import training_run
from workflow.runs.logger import RunLogger

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


def begin(project: Project, start: Starter) -> "subprocess.Popen[str]":
    """Start a training and let it come to its third epoch."""
    project.change(train={"epochs": EPOCHS})
    process = start(project, "dvc", "repro")
    until(lambda: epochs_done(project) >= 3)
    return process


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project of one's own, which is the working directory."""
    stand_in(project.path, monkeypatch)
    return project


@pytest.fixture(scope="session")
def shared_killed(finished: Project, shared: Sharer) -> Project:
    """A finished project; DVC and its second training were killed after the third epoch."""

    def kill(project: Project) -> None:
        process = begin(project, Project.start)
        training = trainer(project)
        process.kill()
        training.kill()
        process.communicate(timeout=60)

    return shared("killed", kill, finished.path)


@pytest.fixture
def killed(shared_killed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `shared_killed` of one's own, which is the working directory."""
    project = shared_killed.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def assert_trained(run: Run, epochs: int = EPOCHS) -> None:
    """The run is finished, has its model, and every curve has one point an epoch."""
    assert run.info.status == "FINISHED"
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"):
        points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
        assert sorted(point.step for point in points) == list(range(1, epochs + 1)), name
    model = mlflow.get_logged_model(run.data.tags["model.id"])
    assert model.status == "READY"


def assert_complete(run: Run, epochs: int = EPOCHS) -> None:
    """The run has all of its training, and its evaluation."""
    assert_trained(run, epochs)
    assert "test_accuracy" in run.data.metrics


def assert_killed(run: Run) -> None:
    """The run is killed, and its curves have one point for each epoch up to then."""
    assert run.info.status == "KILLED"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert points
    assert sorted(point.step for point in points) == list(range(1, len(points) + 1))


def test_killed_training_is_resumed_in_the_same_run_to_the_same_bits(
    killed: Project, start: Starter, undisturbed: Path
) -> None:
    """By SIGKILL; by SIGTERM, which ends it through its clean-up; and with the DVC that ran it.

    In the end, `make repro` mends the lock file that DVC was killed over.
    """
    process, done = start(killed, "python", "-m", "stages.train"), epochs_done(killed)
    until(lambda: epochs_done(killed) > done)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in H5PY_AT_EXIT.sub("", output)
    assert_killed(runs()[0])

    process, done = start(killed, "dvc", "repro"), epochs_done(killed)
    until(lambda: epochs_done(killed) > done)
    orphan = trainer(killed)
    process.kill()
    orphan.wait(timeout=15)
    process.communicate(timeout=60)
    assert_killed(runs()[0])

    (killed.path / ".dvc" / "tmp" / "rwlock").write_text("", encoding="utf-8")
    assert "JSON structure is corrupted" in killed.fail("dvc", "repro")
    assert "Resuming after epoch" in killed.run("python", "-m", "tools.repro")
    assert verify.differences(killed.path / "data", undisturbed) == set()
    new, _ = runs()
    assert_complete(new)
    assert checkpoints(killed) == []


def test_checkpoint_that_was_cut_short_costs_an_epoch_and_no_more(
    killed: Project, undisturbed: Path
) -> None:
    done = epochs_done(killed)
    weights = checkpoints(killed)[-1] / "state.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    output = killed.run("python", "-m", "stages.train")
    assert "A damaged checkpoint is skipped" in output
    assert f"Resuming after epoch {done - 1}" in output
    differing = verify.differences(killed.path / "data", undisturbed)
    assert [name for name in differing if name.startswith("train/")] == []
    assert_trained(runs()[0])


def test_checkpoint_of_another_training_is_not_picked_up(killed: Project, call: Caller) -> None:
    killed.change(train={"epochs": 2, "seed": 1})
    assert "Resuming" not in call(train.main)
    assert_trained(runs()[0], 2)
    assert len(runs()) == 3


@pytest.mark.usefixtures("killed")
def test_a_run_whose_process_is_gone_is_swept_by_the_next_command(call: Caller) -> None:
    (abandoned,) = [run for run in runs() if run.info.status == "RUNNING"]
    call.fail(sync.main)  # DVC took data/train away before the training
    assert mlflow.get_run(abandoned.info.run_id).info.status == "KILLED"


def test_a_second_repro_or_training_says_who_runs_already_and_trains_nothing(
    project: Project, start: Starter
) -> None:
    """The first one goes on; in the end, SIGTERM to DVC leaves no training behind either."""
    process = begin(project, start)
    training = trainer(project)
    training.suspend()
    repeated = project.fail("dvc", "repro")
    again = project.fail("python", "-m", "stages.train")
    done = epochs_done(project)
    training.resume()
    until(lambda: epochs_done(project) > done)
    assert str(process.pid) in repeated
    assert "Training by" not in repeated
    assert f"running already, in process {training.pid}" in again
    assert "Traceback" not in again
    process.terminate()
    training.wait(timeout=15)
    process.communicate(timeout=60)
    assert len(runs()) == 2
    assert_killed(runs()[0])


@contextmanager
def server(project: Project, port: int) -> Iterator[None]:
    """An MLflow server, killed in the end."""
    beside = project.path.parent
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{beside}/server.db"]
    command += ["--artifacts-destination", str(beside / "served"), "--port", str(port)]
    process = project.start(*command, **QUIET)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield
    finally:
        parent = psutil.Process(process.pid)
        for member in [*parent.children(recursive=True), parent]:
            member.kill()
        process.communicate()


def test_server_that_dies_costs_no_epoch_and_is_completed_later(
    project: Project,
    start: Starter,
    call: Caller,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the runs by its address alone: files, champion and answers, too."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    own = {run.info.run_id for run in runs()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    project.environment["MLFLOW_TRACKING_URI"] = address
    with server(project, port):
        training = begin(project, start)
        (begun,) = mlflow.MlflowClient().search_runs(["1"])
    output, _ = training.communicate(timeout=240)
    assert training.returncode == 0, output
    assert begun.data.params["train.epochs"] == str(EPOCHS)
    assert "make sync" in output
    assert "Traceback" not in output
    assert verify.differences(project.path / "data", undisturbed) == set()
    with server(project, port):
        call(sync.main)
        (run,) = runs()
        run_id = run.info.run_id
        assert run_id == begun.info.run_id
        assert_complete(run)
        assert "restored_from" not in run.data.tags
        call(evaluate.main)
        path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/evaluate/accuracy.png")
        assert Path(path).read_bytes().startswith(b"\x89PNG")
        champion = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
        assert champion.run_id == run_id
        predicted = project.run("python", "-m", "tools.predict", TEXT="a")
        assert re.search(r"^(positive|negative) ", predicted, re.MULTILINE)
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
def test_store_that_is_locked_is_one_message_and_loses_nothing(
    project: Project, call: Caller, database: sqlite3.Connection
) -> None:
    project.change(train={"epochs": 3})
    before = project.contents("data")
    database.execute("BEGIN EXCLUSIVE")
    output = call.fail(train.main)
    assert "cannot be used" in output
    assert "locked" in output
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
    call(evaluate.main)
    call(sync.main)
    assert_complete(runs()[0], 2)


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
    """First below the checkpoints, then below the outputs."""
    before = project.contents("data")
    project.change(train={"units": 128, "epochs": 1})
    for place in (project.path / training_run.FOLDER, project.path / "data"):
        kept = small_disk / place.name
        if place.exists():
            shutil.copytree(place, kept, symlinks=True)
            shutil.rmtree(place)
        kept.mkdir(exist_ok=True)
        place.symlink_to(kept)
        filler = small_disk / "filler"
        filler.write_bytes(b"\0" * max(0, shutil.disk_usage(small_disk).free - 100_000))
        output = call.fail(train.main)
        assert "No space left on device" in output
        assert "Free some space" in output
        assert project.contents("data") == before
        filler.unlink()
        if place.name != "data":
            place.unlink()
    call(train.main)
    assert files.read_about(project.path / "data" / "train")["params"]["train.units"] == 128
