"""An interrupted training is resumed to the same bits, in the same run.

Real processes and commands, on the small synthetic dataset.
"""

import os
import signal
import subprocess
from pathlib import Path

import mlflow
import psutil
import pytest
from mlflow.entities import Run

from sentiment.backend import load_keras
from stages import evaluate, train
from tests.conftest import Caller, Starter, epochs, runs
from tests.project import EPOCHS, Project, wait_until
from tools import verify
from workflow.checkpoints import FOLDER, PROCESS_FILE, STATE_FILE

pytestmark = pytest.mark.slow
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def checkpoint_time(project: Project) -> int:
    """Return when the newest checkpoint was written, in nanoseconds, or 0 without any."""
    checkpoints = project.path.glob(f"{FOLDER}/*/{STATE_FILE}")
    return max((path.stat().st_mtime_ns for path in checkpoints), default=0)


def training_pid(project: Project) -> int:
    """Return the id of the process that trains, or trained last."""
    paths = project.path.glob(f"{FOLDER}/*/{PROCESS_FILE}")
    newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
    return int(newest.read_text(encoding="utf-8"))


def wait_for_epoch(project: Project, process: "subprocess.Popen[str]") -> None:
    """Wait until the process has written another checkpoint or has stopped."""
    before = checkpoint_time(project)
    wait_until(lambda: process.poll() is not None or checkpoint_time(project) > before)


def train_two_epochs(project: Project, start: Starter, *command: str) -> "subprocess.Popen[str]":
    """Start a command that trains, in a process group of its own, and wait for two more epochs."""
    process = start(project, *command)
    for _ in range(2):
        wait_for_epoch(project, process)
    assert process.poll() is None, process.communicate()
    return process


def kill_group(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Send a signal to a process and everything that it started, and return their output."""
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=300)
    return output


def assert_each_epoch_once(run: Run, last: int = EPOCHS) -> None:
    for name in CURVES:
        assert epochs(run.info.run_id, name) == list(range(1, last + 1)), name


def assert_complete(run: Run, last: int = EPOCHS) -> None:
    """Check that a run has everything about its training and its evaluation."""
    assert run.info.status == "FINISHED"
    assert_each_epoch_once(run, last)
    assert "test_accuracy" in run.data.metrics
    models = mlflow.MlflowClient().search_logged_models([run.info.experiment_id])
    own = [model for model in models if model.source_run_id == run.info.run_id]
    assert sorted(model.name for model in own) == ["model", "sentiment"]
    assert {str(model.status) for model in own} == {"READY"}


def test_interrupted_training_is_resumed_in_the_same_run_to_the_same_bits(
    project: Project, start: Starter, call: Caller, undisturbed: Path
) -> None:
    """Send SIGKILL and Ctrl-C to all processes, and SIGTERM to `make repro` alone."""
    project.change(train={"epochs": EPOCHS})
    before = project.contents("data")

    process = train_two_epochs(project, start, "dvc", "repro")
    suspended = psutil.Process(training_pid(project))
    suspended.suspend()  # so that it still runs when a second one starts
    refused = call.fail(train.main)
    assert f"This training is running already, in process {suspended.pid}" in refused
    kill_group(process, signal.SIGKILL)
    assert runs()[0].info.status == "RUNNING"  # nothing can end a run after SIGKILL

    process = train_two_epochs(project, start, "python", "-m", "tools.repro")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Resuming after epoch" in output
    assert "make repro: interrupted by SIGTERM" in output
    assert runs()[0].info.status == "KILLED"

    process = train_two_epochs(project, start, "dvc", "repro")
    output = kill_group(process, signal.SIGINT)
    assert process.returncode != 0
    assert "Resuming after epoch" in output
    assert "train: interrupted by SIGINT" in output
    assert "Traceback" not in output
    assert runs()[0].info.status == "KILLED"
    assert project.contents("data") == before  # the last good outputs

    load_keras().utils.clear_session()  # otherwise the names of layers get numbers
    assert "Resuming after epoch" in call(train.main)
    call(evaluate.main)
    assert verify.differing_files(project.path / "data", undisturbed) == set()
    new, _ = runs()
    assert_complete(new)


def test_earlier_params_restore_the_result_in_the_same_run(project: Project, call: Caller) -> None:
    model = project.path / "data/train/model.keras"
    before = model.read_bytes()
    for seed in (1, 42):  # 42 is the earlier value
        project.change(train={"seed": seed})
        (project.path / "data/train/run.json").unlink()
        load_keras().utils.clear_session()  # otherwise the names of layers get numbers
        output = call(train.main)
    assert "Resuming after epoch 2 of 2" in output
    assert model.read_bytes() == before
    other, restored = runs()
    assert_each_epoch_once(other, 2)
    assert_complete(restored, 2)
