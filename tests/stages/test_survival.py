"""A training survives a server that dies, and a full disk loses no results.

Real processes and commands, on the small synthetic dataset.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from stages import evaluate, pad, train
from tests.conftest import Caller, Starter, runs
from tests.project import EPOCHS, MODEL, Project, free_port
from tests.services import mlflow_server
from tests.stages.test_interruptions import assert_complete, train_two_epochs
from tools import sync, verify
from workflow.checkpoints import FOLDER
from workflow.files import DATA

pytestmark = pytest.mark.slow


def test_run_on_a_server_that_dies_is_completed_later_and_no_epoch_is_lost(
    project: Project,
    start: Starter,
    call: Caller,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    local = {run.info.run_id for run in runs()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    mlflow.set_tracking_uri(url)
    project.environment["MLFLOW_TRACKING_URI"] = url
    project.change(train={"epochs": EPOCHS})
    with mlflow_server(project.path.parent, port):
        training = train_two_epochs(project, start, "python", "-m", "stages.train")
        (started,) = mlflow.MlflowClient().search_runs(["1"])
    output, _ = training.communicate(timeout=600)
    assert training.returncode == 0, output
    assert call(evaluate.main).count("does not answer") == 1
    assert started.data.params["train.epochs"] == str(EPOCHS)
    assert "Run `make sync` later to log the rest" in output
    assert "Traceback" not in output
    assert verify.differing_files(project.path / "data", undisturbed) == set()
    with mlflow_server(project.path.parent, port):
        call(sync.main)
        (run,) = runs()
        assert run.info.run_id == started.info.run_id
        assert_complete(run)
        (version,) = mlflow.MlflowClient().search_model_versions()
        assert (version.name, version.run_id) == (MODEL, run.info.run_id)
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    assert {run.info.run_id for run in runs()} == local


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a few megabytes, and return its folder. If that fails, skip the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # arrays may still be mapped


@pytest.mark.parametrize(("filled", "stage"), [(FOLDER, train), (str(DATA), pad)])
def test_full_disk_is_one_message_and_the_last_good_outputs_stay(
    project: Project, call: Caller, small_disk: Path, filled: str, stage: object
) -> None:
    """Let a training fill the disk with its checkpoint, and `pad` with its outputs."""
    before = project.contents("data")
    project.change(train={"units": 128, "epochs": 1})
    folder = project.path / filled
    folder.mkdir(exist_ok=True)
    shutil.copytree(folder, small_disk / filled, symlinks=True)
    shutil.rmtree(folder)
    folder.symlink_to(small_disk / filled)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * max(0, shutil.disk_usage(small_disk).free - 10_000))
    message = call.fail(stage.main)  # type: ignore[attr-defined]
    assert "No space left on device" in message
    assert "Free some space" in message
    assert project.contents("data") == before
