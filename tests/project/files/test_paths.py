"""All paths of a project come from the folder that is worked in and the root."""

from pathlib import Path

import pytest

from sentiment.project.files.paths import Project


def test_the_working_directory_is_the_project(in_tmp_path: Path) -> None:
    project = Project.here()
    assert project.root == in_tmp_path
    assert project.trained == Path("data/train")


def test_a_temporary_copy_has_the_checkpoints_of_the_root(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = in_tmp_path / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(in_tmp_path))
    project = Project.here()
    assert project.checkpoints == in_tmp_path / ".checkpoint"
    assert project.is_temporary_copy
    assert not Project(copy, copy).is_temporary_copy
