"""A finished project is moved."""

import re
import shutil
import textwrap
from pathlib import Path

import pytest

from tests.conftest import Command, copy_project, runs, use_store
from tests.contract.conftest import Commands, assert_whole
from tests.small_project import ROOT, ProjectCopy

pytestmark = pytest.mark.slow


def move(project: ProjectCopy, path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Move a project to another folder, and return it there."""
    shutil.move(project.path, path)
    return use_store(ProjectCopy(path), monkeypatch)


def test_a_moved_folder_works_after_the_lines_of_the_page(
    pipeline_once: Commands, sentiment: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(pipeline_once.project, tmp_path / "project")
    old = project.path
    moved = move(project, tmp_path / "elsewhere", monkeypatch)
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    lines = re.search(r"\n    old=.*\n((?: {4}.*\n)+)", page)
    assert lines is not None
    moved.run("bash", "-ec", f"old={old}\n{textwrap.dedent(lines[1])}")
    (run,) = runs()
    assert_whole(run)
    assert "probability" in sentiment("predict", "A fine plot.")
