"""A DVC remote that cannot be used stops nobody from training."""

import pytest

from tests.conftest import Caller
from tests.project import Project
from tools import repro

pytestmark = pytest.mark.slow


def test_remote_that_cannot_be_used_is_reported_and_every_stage_runs_here(
    project: Project, call: Caller
) -> None:
    project.run("dvc", "remote", "add", "--default", "shared", "ssh://127.0.0.1:1/data")
    said = project.run("python", "-m", "tools.repro")
    assert "The DVC remote shared cannot be used, so every stage runs here: " in said
    assert "Stage 'train' didn't change" in said
    (project.path / ".dvc" / "config").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    assert "DVC's configuration cannot be read" in call.fail(repro.main)
