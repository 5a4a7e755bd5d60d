"""Nothing is lost: a killed training goes on to the same bits, in the same run, and leaves no mess.

Real processes, on the small synthetic set, by the real commands.
"""

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import psutil
import pytest
from mlflow.entities import Run

from sentiment import files
from sentiment.network import checkpoint
from tests.conftest import Starter, runs, stand_in
from tests.project import EPOCHS, QUIET, Project, free_port, until, wait_for
from tools import verify


@pytest.fixture(autouse=True)
def store_of_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(project.path, monkeypatch)


def epochs_done(project: Project) -> int:
    """The last epoch of which there is a checkpoint."""
    names = [path.name for path in project.path.glob(f"{checkpoint.FOLDER}/*/epoch-*")]
    return max((int(name.removeprefix("epoch-")) for name in names), default=0)


def trainer(project: Project) -> psutil.Process:
    """The process that trains."""
    (holder,) = project.path.glob(f"{checkpoint.FOLDER}/*/process")
    return psutil.Process(int(holder.read_text(encoding="utf-8")))


def begin(project: Project, start: Starter, *command: str) -> "subprocess.Popen[str]":
    """Start a training and let it come to its third epoch."""
    project.change(train={"epochs": EPOCHS})
    process = start(project, *(command or ("dvc", "repro")))
    until(lambda: epochs_done(project) >= 3)
    return process


def assert_whole(run: Run, epochs: int = EPOCHS) -> None:
    """The run is finished, and every curve has one point an epoch."""
    assert run.info.status == "FINISHED"
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"):
        points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
        assert sorted(point.step for point in points) == list(range(1, epochs + 1)), name
    assert "test_accuracy" in run.data.metrics
    model = mlflow.get_logged_model(run.data.tags["model.id"])
    assert model.status == "READY"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_training_goes_on_in_the_same_run_to_the_same_bits(
    project: Project, start: Starter, whole: Path, number: signal.Signals
) -> None:
    process = begin(project, start)
    trainer(project).send_signal(number)
    process.communicate(timeout=60)
    output = project.run("dvc", "repro")
    assert "Resuming after epoch" in output
    assert verify.differences(project.path / "data", whole) == set()
    new, _ = runs()
    assert_whole(new)
    assert list((project.path / checkpoint.FOLDER).glob("*/epoch-*")) == []


def test_checkpoint_that_was_cut_short_costs_an_epoch_and_no_more(
    project: Project, start: Starter, whole: Path
) -> None:
    process = begin(project, start)
    trainer(project).kill()
    process.communicate(timeout=60)
    done = epochs_done(project)
    (weights,) = project.path.glob(f"{checkpoint.FOLDER}/*/epoch-{done:04}/model.npz")
    weights.write_bytes(weights.read_bytes()[:1000])
    output = project.run("dvc", "repro")
    assert "A damaged checkpoint is skipped" in output
    assert f"Resuming after epoch {done - 1}" in output
    assert verify.differences(project.path / "data", whole) == set()
    assert_whole(runs()[0])


def test_checkpoint_of_another_training_is_not_picked_up(project: Project, start: Starter) -> None:
    process = begin(project, start)
    trainer(project).kill()
    process.communicate(timeout=60)
    project.change(train={"epochs": 2, "seed": 1})
    assert "Resuming" not in project.run("dvc", "repro")
    assert_whole(runs()[0], 2)
    assert len(runs()) == 3


def test_a_run_whose_process_is_gone_is_swept_by_the_next_command(
    project: Project, start: Starter
) -> None:
    process = begin(project, start)
    trainer(project).kill()
    process.communicate(timeout=60)
    (abandoned,) = [run for run in runs() if run.info.status == "RUNNING"]
    project.fail("python", "-m", "tools.sync")  # DVC took data/train away before the training
    assert mlflow.get_run(abandoned.info.run_id).info.status == "KILLED"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_dvc_leaves_no_training_behind(
    project: Project, start: Starter, number: signal.Signals
) -> None:
    process = begin(project, start)
    orphan = trainer(project)
    process.send_signal(number)
    orphan.wait(timeout=15)
    process.communicate(timeout=60)
    assert runs()[0].info.status == "KILLED"
    assert "Resuming after epoch" in project.run("dvc", "repro")
    assert_whole(runs()[0])


def test_a_lock_file_that_dvc_was_killed_over_is_mended(project: Project) -> None:
    (project.path / ".dvc" / "tmp" / "rwlock").write_text("", encoding="utf-8")
    assert "JSON structure is corrupted" in project.fail("dvc", "repro")
    assert "up to date" in project.run("python", "-m", "tools.repro")


def test_second_repro_says_who_runs_already_and_trains_nothing(
    project: Project, start: Starter
) -> None:
    process = begin(project, start)
    output = project.fail("dvc", "repro")
    assert str(process.pid) in output
    assert "Training by" not in output
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(runs()) == 2
    assert_whole(runs()[0])


def test_second_training_of_the_same_says_so_and_ends(project: Project, start: Starter) -> None:
    process = begin(project, start)
    output = project.fail("python", "-m", "stages.train")
    assert f"running already, in process {trainer(project).pid}" in output
    assert "Traceback" not in output
    process.communicate(timeout=120)
    assert len(runs()) == 2


@pytest.fixture
def server(project: Project, start: Starter) -> tuple[str, Callable[[], psutil.Process]]:
    """The address of an MLflow server, and a function that starts it (again)."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    beside = project.path.parent
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{beside}/server.db"]
    command += ["--artifacts-destination", str(beside / "served"), "--port", str(port)]

    def run() -> psutil.Process:
        process = start(project, *command, **QUIET)
        wait_for(f"{address}/health")
        return psutil.Process(process.pid)

    return address, run


def kill_tree(process: psutil.Process) -> None:
    for each in [*process.children(recursive=True), process]:
        each.kill()


def test_server_that_dies_costs_no_epoch_and_is_told_later(
    project: Project,
    start: Starter,
    server: tuple[str, Callable[[], psutil.Process]],
    whole: Path,
) -> None:
    address, run_server = server
    process = run_server()
    project.environment["MLFLOW_TRACKING_URI"] = address
    training = begin(project, start)
    kill_tree(process)
    output, _ = training.communicate(timeout=240)
    assert training.returncode == 0, output
    assert "make sync" in output
    assert "Traceback" not in output
    assert verify.differences(project.path / "data", whole) == set()
    run_server()
    project.run("python", "-m", "tools.sync")
    mlflow.set_tracking_uri(address)
    (run,) = runs()
    assert_whole(run)
    assert "restored_from" not in run.data.tags


def test_store_that_is_locked_is_one_message_and_loses_nothing(project: Project) -> None:
    project.change(train={"epochs": 3})
    before = project.contents("data")
    with closing(sqlite3.connect(project.path / "mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        output = project.fail("dvc", "repro")
    assert "cannot be used" in output
    assert "locked" in output
    assert "Traceback" not in output
    assert project.contents("data") == before


def test_store_that_is_locked_meanwhile_costs_no_epoch(project: Project, start: Starter) -> None:
    process = begin(project, start)
    with closing(sqlite3.connect(project.path / "mlflow.db", timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        until(lambda: not list(project.path.glob(f"{checkpoint.FOLDER}/*/epoch-*")), 300)
        database.rollback()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.count("cannot be used") <= 1
    project.run("python", "-m", "tools.sync")
    assert_whole(runs()[0])


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
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("place", ["data", ".checkpoints"])
def test_full_disk_is_one_message_and_what_was_there_is_whole(
    project: Project, small_disk: Path, place: str
) -> None:
    before = project.contents("data")
    target = project.path / place
    if target.exists():
        shutil.copytree(target, small_disk / "kept", symlinks=True)
        shutil.rmtree(target)
    (small_disk / "kept").mkdir(exist_ok=True)
    target.symlink_to(small_disk / "kept")
    (small_disk / "filler").write_bytes(b"\0" * free_bytes(small_disk, 100_000))
    project.change(train={"units": 128, "epochs": 2})
    output = project.fail("python", "-m", "stages.train")
    assert "No space left on device" in output
    assert "Free some space" in output
    assert "Traceback" not in output
    assert project.contents("data") == before
    (small_disk / "filler").unlink()
    project.run("python", "-m", "stages.train")
    assert files.read_about(project.path / "data" / "train")["params"]["train.units"] == 128


def free_bytes(folder: Path, but: int) -> int:
    return max(0, shutil.disk_usage(folder).free - but)
