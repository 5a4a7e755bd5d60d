"""A training that is killed resumes after its last finished epoch: the same run, the same bits."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import copy_project, run_stages, runs
from tests.contract import names
from tests.contract.conftest import Commands, assert_whole, steps
from tests.project import Project, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]
EPOCHS = 20


def checkpoint_time(project: Project) -> int:
    """Return when the newest checkpoint was written, in nanoseconds, or 0 without any."""
    states = (project.path / names.CHECKPOINTS).rglob(names.STATE)
    return max((path.stat().st_mtime_ns for path in states), default=0)


def wait_for_epoch(project: Project, process: "subprocess.Popen[str]") -> None:
    """Wait until a training has written a checkpoint."""
    before = checkpoint_time(project)
    wait_until(lambda: process.poll() is not None or checkpoint_time(project) > before)
    assert process.poll() is None, process.communicate()


def test_a_killed_training_resumes_in_the_same_run_to_the_same_bits(
    pipeline_copy: Project, pipeline_once: Commands, tmp_path: Path
) -> None:
    project = pipeline_copy
    project.change(train={"epochs": EPOCHS})
    for number in (signal.SIGKILL, signal.SIGINT):
        process = project.start(*names.REPRO)
        wait_for_epoch(project, process)
        wait_until(lambda: len(runs()) == 2 and steps(runs()[0], "loss"))  # while it trains
        assert process.poll() is None
        os.killpg(process.pid, number)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode != 0
        assert "Traceback" not in printed
        if number != signal.SIGKILL:
            assert "To continue, run the same command again." in printed
        run, _ = runs()
        assert run.info.status == ("RUNNING" if number == signal.SIGKILL else "KILLED")
    printed = project.run(*names.REPRO)
    assert f"Epoch 1/{EPOCHS}" not in printed
    resumed, _ = runs()
    assert resumed.info.run_id == run.info.run_id
    assert_whole(resumed, EPOCHS)

    undisturbed = copy_project(pipeline_once.project, tmp_path / "undisturbed")
    undisturbed.change(train={"epochs": EPOCHS})
    run_stages(undisturbed, "train")
    same = (undisturbed.path / names.MODEL_FILE).read_bytes()
    assert (project.path / names.MODEL_FILE).read_bytes() == same


def test_a_publication_that_is_killed_is_done_again_in_the_same_run(
    pipeline_copy: Project,
) -> None:
    project = pipeline_copy
    project.change(train={"units": 5})
    run_stages(project, "train")
    project.run("dvc", "commit", "--force", "--quiet", "train")
    process = project.start(*names.EVALUATE)
    models = project.path / names.ARTIFACTS / names.MODEL / "models"
    before = len(list(models.iterdir()))
    wait_until(lambda: process.poll() is not None or len(list(models.iterdir())) > before)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    killed, _ = runs()
    assert "evaluation_digest" not in killed.data.tags
    project.run(*names.EVALUATE)
    whole, _ = runs()
    assert whole.info.run_id == killed.info.run_id
    assert_whole(whole)
