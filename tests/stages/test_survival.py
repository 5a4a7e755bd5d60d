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
from typing import NamedTuple

import mlflow
import psutil
import pytest
from mlflow.entities import Run

from stages import evaluate, train
from tests.conftest import Caller, Sharer, Starter, runs, stand_in
from tests.project import EPOCHS, MODEL, QUIET, Project, free_port, until, wait_for
from tools import sync, verify
from workflow import files
from workflow.runs import training_run

# what h5py may print, and Python ignores, when the interpreter ends during a save
H5PY_AT_EXIT = re.compile(
    r"(Exception ignored in: 'h5py[^\n]*\n)?"
    r"Traceback \(most recent call last\):\n"
    r"  File \"h5py/_objects\.pyx\", line \d+, in h5py[^\n]*\n"
    r"KeyError: 0\n"
)


def epochs_done(project: Project) -> int:
    """The last epoch of which there is a checkpoint."""
    names = [path.name for path in project.path.glob(f"{training_run.FOLDER}/*/epoch-*")]
    return max((int(name.removeprefix("epoch-")) for name in names), default=0)


def trainer(project: Project) -> psutil.Process:
    """The process that trains."""
    (holder,) = project.path.glob(f"{training_run.FOLDER}/*/process")
    return psutil.Process(int(holder.read_text(encoding="utf-8")))


def begin(project: Project, start: Starter, *command: str) -> "subprocess.Popen[str]":
    """Start a training and let it come to its third epoch."""
    project.change(train={"epochs": EPOCHS})
    process = start(project, *(command or ("dvc", "repro")))
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


def assert_complete(run: Run) -> None:
    """The run has all of its training, and its evaluation."""
    assert_trained(run)
    assert "test_accuracy" in run.data.metrics


def test_killed_training_is_resumed_in_the_same_run_to_the_same_bits(
    killed: Project, start: Starter, undisturbed: Path
) -> None:
    """Killed by SIGKILL at first, then by SIGTERM, which ends it through its clean-up."""
    process, done = start(killed, "python", "-m", "stages.train"), epochs_done(killed)
    until(lambda: epochs_done(killed) > done)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in H5PY_AT_EXIT.sub("", output)
    assert_killed(runs()[0])
    assert "Resuming after epoch" in killed.run("dvc", "repro")
    assert verify.differences(killed.path / "data", undisturbed) == set()
    new, _ = runs()
    assert_complete(new)
    assert list((killed.path / training_run.FOLDER).glob("*/epoch-*")) == []


def assert_killed(run: Run) -> None:
    """The run is killed, and its curves have one point for each epoch up to then."""
    assert run.info.status == "KILLED"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert points
    assert sorted(point.step for point in points) == list(range(1, len(points) + 1))


def test_checkpoint_that_was_cut_short_costs_an_epoch_and_no_more(
    killed: Project, undisturbed: Path
) -> None:
    done = epochs_done(killed)
    (weights,) = killed.path.glob(f"{training_run.FOLDER}/*/epoch-{done:04}/state.npz")
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


def test_killed_dvc_leaves_no_training_behind(project: Project, start: Starter) -> None:
    process = begin(project, start)
    orphan = trainer(project)
    process.kill()
    orphan.wait(timeout=15)
    process.communicate(timeout=60)
    assert runs()[0].info.status == "KILLED"
    assert "Resuming after epoch" in project.run("dvc", "repro", "train")
    assert_trained(runs()[0])


def test_a_lock_file_that_dvc_was_killed_over_is_mended(project: Project) -> None:
    (project.path / ".dvc" / "tmp" / "rwlock").write_text("", encoding="utf-8")
    assert "JSON structure is corrupted" in project.fail("dvc", "repro")
    assert "up to date" in project.run("python", "-m", "tools.repro")


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


class Served(NamedTuple):
    """A project whose server died in the middle of a training, and is there again.

    Attributes:
        project: the project, after `make sync`.
        address: of the server.
        run: the run as the server had it when it died.
        output: what the training printed.
    """

    project: Project
    address: str
    run: Run
    output: str


def kill_tree(process: "subprocess.Popen[str]") -> None:
    parent = psutil.Process(process.pid)
    for each in [*parent.children(recursive=True), parent]:
        each.kill()
    process.communicate()


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
        kill_tree(process)


@pytest.fixture(scope="module")
def served(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    project, port = finished.copy(tmp_path_factory.mktemp("served") / "project"), free_port()
    address = f"http://127.0.0.1:{port}"
    project.environment["MLFLOW_TRACKING_URI"] = address
    with server(project, port):
        training = begin(project, Project.start)
        (run,) = mlflow.MlflowClient(address).search_runs(["1"])
    output, _ = training.communicate(timeout=240)
    assert training.returncode == 0, output
    with server(project, port):
        project.run("python", "-m", "tools.sync")
        yield Served(project, address, run, output)


@pytest.fixture
def at_server(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Stand in the project of `served`, at its server."""
    stand_in(served.project.path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.address)
    mlflow.set_tracking_uri(served.address)
    return served


def test_server_that_dies_costs_no_epoch_and_is_completed_later(
    at_server: Served, undisturbed: Path
) -> None:
    assert "make sync" in at_server.output
    assert "Traceback" not in at_server.output
    assert verify.differences(at_server.project.path / "data", undisturbed) == set()
    (run,) = runs()
    assert run.info.run_id == at_server.run.info.run_id
    assert_complete(run)
    assert "restored_from" not in run.data.tags


def test_server_takes_the_runs_by_its_address_alone(at_server: Served, call: Caller) -> None:
    assert at_server.run.data.params["train.epochs"] == str(EPOCHS)
    call(evaluate.main)
    (run,) = runs()
    assert "test_accuracy" in run.data.metrics
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/evaluate/accuracy.png")
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    champion = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    assert champion.run_id == run.info.run_id
    predicted = at_server.project.run("python", "-m", "tools.predict", TEXT="a")
    assert re.search(r"^(positive|negative) ", predicted, re.MULTILINE)
    mlflow.set_tracking_uri(f"sqlite:///{at_server.project.path}/mlflow.db")
    assert run.info.run_id not in {own.info.run_id for own in runs()}


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


def test_store_that_is_locked_meanwhile_costs_no_epoch(
    project: Project, start: Starter, call: Caller
) -> None:
    process = begin(project, start)
    with closing(sqlite3.connect(project.path / "mlflow.db", timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        until(lambda: not list(project.path.glob(f"{training_run.FOLDER}/*/epoch-*")), 300)
        database.rollback()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.count("cannot be used") <= 1
    call(sync.main)
    assert_complete(runs()[0])


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


@pytest.mark.parametrize("place", ["data", ".checkpoints"])
def test_full_disk_is_one_message_and_what_was_there_stays(
    project: Project, call: Caller, small_disk: Path, place: str
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
    output = call.fail(train.main)
    assert "No space left on device" in output
    assert "Free some space" in output
    assert project.contents("data") == before
    (small_disk / "filler").unlink()
    call(train.main)
    assert files.read_about(project.path / "data" / "train")["params"]["train.units"] == 128


def free_bytes(folder: Path, but: int) -> int:
    return max(0, shutil.disk_usage(folder).free - but)
