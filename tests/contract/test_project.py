"""A finished project is moved."""

import re
import shutil
import textwrap
from pathlib import Path

import mlflow
import pytest

from tests.command import Command
from tests.command_log import CommandLog
from tests.logged import runs
from tests.small_project import ROOT, ProjectCopy, enter

pytestmark = pytest.mark.slow


def move(project: ProjectCopy, path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Move a project to another folder, and return it there."""
    shutil.move(project.path, path)
    return enter(ProjectCopy(path), monkeypatch)


def test_a_moved_folder_works_after_the_lines_of_the_page(
    pipeline_once: CommandLog, sentiment: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = pipeline_once.project.copy(tmp_path / "project")
    old = project.path
    moved = move(project, tmp_path / "elsewhere", monkeypatch)
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    lines = re.search(r"\n    old=.*\n((?: {4}.*\n)+)", page)
    assert lines is not None
    moved.run("bash", "-ec", f"old={old}\n{textwrap.dedent(lines[1])}")
    (run,) = runs()
    artifacts = Path(str(run.info.artifact_uri))
    assert artifacts.is_relative_to(moved.path)
    assert (artifacts / "predictions.csv").exists()
    (model,) = mlflow.MlflowClient().search_logged_models([run.info.experiment_id])
    assert Path(str(model.artifact_location), "MLmodel").is_relative_to(moved.path)
    assert "probability" in sentiment("predict", "A fine plot.")
