"""A training is interrupted, and resumes when the same command is run again."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow.entities import Run

from tests.conftest import copy_project, run_stages, runs, use_store
from tests.contract import names
from tests.contract.conftest import Commands, assert_whole, steps
from tests.small_project import ProjectCopy, wait_until

pytestmark = pytest.mark.slow
EPOCHS = 20


class Attempt(NamedTuple):
    """The output of a call of `dvc repro`, and the run of its training afterwards."""

    printed: str
    run: Run


class Attempts(NamedTuple):
    """A project after three calls of `dvc repro`, of which two were interrupted."""

    project: ProjectCopy
    killed: Attempt  # by SIGKILL, in the training
    stopped: Attempt  # by SIGINT, in the training
    finished: Attempt


def checkpoint_time(project: ProjectCopy) -> int:
    """Return when the newest checkpoint was written, in nanoseconds, or 0 without any."""
    states = (project.path / names.CHECKPOINTS).rglob(names.STATE)
    return max((path.stat().st_mtime_ns for path in states), default=0)


def interrupt(
    project: ProjectCopy, number: signal.Signals, is_time: Callable[[], object]
) -> Attempt:
    """Start `dvc repro`, and send a signal to all its processes when it is time."""
    process = project.start(*names.REPRO)
    wait_until(lambda: process.poll() is not None or is_time())
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    return Attempt(printed, runs()[0])


@pytest.fixture(scope="module")
def attempts(pipeline_once: Commands, tmp_path_factory: pytest.TempPathFactory) -> Attempts:
    """Interrupt a training twice, and finish it."""
    folder = tmp_path_factory.mktemp("interrupted")
    project = copy_project(pipeline_once.project, folder / "project")
    project.change(train={"epochs": EPOCHS})

    def has_new_epoch(before: int) -> bool:
        trained = checkpoint_time(project) > before
        return trained and len(runs()) == 2 and bool(steps(runs()[0], "loss"))

    with pytest.MonkeyPatch.context() as patch:
        use_store(project, patch)
        killed = interrupt(project, signal.SIGKILL, lambda: has_new_epoch(0))
        before = checkpoint_time(project)
        stopped = interrupt(project, signal.SIGINT, lambda: has_new_epoch(before))
        finished = Attempt(project.run(*names.REPRO), runs()[0])
    return Attempts(project, killed, stopped, finished)


def test_an_interrupted_training_resumes_in_the_same_run(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = (attempts.stopped, attempts.finished)
    assert {attempt.run.info.run_id for attempt in resumed} == {attempts.killed.run.info.run_id}
    assert attempts.killed.run.info.status == "RUNNING"
    assert attempts.stopped.run.info.status == "KILLED"
    assert "To continue, run the same command again." in attempts.stopped.printed
    for attempt in resumed:
        assert f"Epoch 1/{EPOCHS}" not in attempt.printed
        assert "Traceback" not in attempt.printed
    use_store(attempts.project, monkeypatch)
    assert_whole(attempts.finished.run, EPOCHS)


def test_an_interrupted_training_gives_the_same_bits(
    attempts: Attempts, pipeline_once: Commands, tmp_path: Path
) -> None:
    undisturbed = copy_project(pipeline_once.project, tmp_path / "undisturbed")
    undisturbed.change(train={"epochs": EPOCHS})
    run_stages(undisturbed, "train")
    same = (undisturbed.path / names.MODEL_FILE).read_bytes()
    assert (attempts.project.path / names.MODEL_FILE).read_bytes() == same
