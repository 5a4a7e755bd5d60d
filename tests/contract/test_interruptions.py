"""A training is killed, and resumes when the same command is run again."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow.entities import Run

from tests import names
from tests.command_log import CommandLog
from tests.logged import curve, runs
from tests.small_project import ProjectCopy, enter, run_stages, wait_until

pytestmark = pytest.mark.slow
EPOCHS = 12
LONGER = {"cell": "lstm", "epochs": EPOCHS}


TRAIN = (*names.REPRO, "train")


class Attempts(NamedTuple):
    """A project in which a training was killed, and the same command was called again.

    Attributes:
        killed: the run after the kill.
        printed: what the second call printed.
        finished: the run after the second call.
    """

    project: ProjectCopy
    killed: Run
    printed: str
    finished: Run


def checkpoint_time(project: ProjectCopy) -> int:
    """Return when the newest checkpoint was written, in nanoseconds, or 0 without any."""
    states = (project.path / names.CHECKPOINTS).rglob(names.STATE)
    return max((path.stat().st_mtime_ns for path in states), default=0)


def kill(project: ProjectCopy, is_time: Callable[[], object]) -> None:
    """Start `dvc repro train`, and kill all its processes when it is time."""
    process = project.start(*TRAIN)
    wait_until(lambda: process.poll() is not None or is_time())
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)


@pytest.fixture(scope="module")
def attempts(pipeline_once: CommandLog, tmp_path_factory: pytest.TempPathFactory) -> Attempts:
    """Kill a training after its second epoch, and finish it."""
    folder = tmp_path_factory.mktemp("interrupted")
    project = pipeline_once.project.copy(folder / "project")
    project.change(lstm=LONGER)

    times: set[int] = set()

    def has_second_epoch() -> bool:  # so the first one is logged
        times.add(checkpoint_time(project))
        return len(times - {0}) > 1

    with pytest.MonkeyPatch.context() as patch:
        enter(project, patch)
        kill(project, has_second_epoch)
        killed = runs()[0]
        printed = project.run(*TRAIN)
        return Attempts(project, killed, printed, runs()[0])


def test_a_killed_training_resumes_in_the_same_run(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = attempts.killed.info.run_id
    assert attempts.killed.info.status == "RUNNING"
    assert attempts.finished.info.run_id == run_id
    assert attempts.finished.info.status == "FINISHED"
    assert f" 1/{EPOCHS} " not in attempts.printed
    enter(attempts.project, monkeypatch)
    for metric in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert [step for step, _ in curve(run_id, metric)] == list(range(1, EPOCHS + 1)), metric


def test_a_killed_training_gives_the_same_bits(
    attempts: Attempts, pipeline_once: CommandLog, tmp_path: Path
) -> None:
    undisturbed = pipeline_once.project.copy(tmp_path / "undisturbed")
    undisturbed.change(lstm=LONGER)
    run_stages(undisturbed, "train")
    same = (undisturbed.path / names.MODEL_FILE).read_bytes()
    assert (attempts.project.path / names.MODEL_FILE).read_bytes() == same
