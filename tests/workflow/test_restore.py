"""What DVC removed before it ran a stage comes back when the stage fails."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Sharer
from tests.project import Project
from workflow import ending

DVC_YAML = """
stages:
  pad:
    cmd: mkdir data/pad && echo 1 > data/pad/x.npy && echo 2 > data/pad/roc.csv
    deps: [params.yaml]
    outs:
      - data/pad/x.npy
    plots:
      - data/pad/roc.csv: {cache: false}
"""
CACHED, UNCACHED = "data/pad/x.npy", "data/pad/roc.csv"
NOT_ALL = "\nThe outputs of the last good run were not all put back: "
WRITTEN = {CACHED: b"1\n", UNCACHED: b"2\n"}


def run_and_commit(project: Project) -> None:
    (project.path / "data").mkdir(parents=True)
    (project.path / "data" / ".gitignore").write_text("/pad/x.npy\n", encoding="utf-8")
    (project.path / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    (project.path / "params.yaml").write_text("{}\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "cache", "dir", "../cache")
    project.run("dvc", "repro")
    project.commit()


@pytest.fixture
def ran(shared: Sharer) -> Project:
    """A repository with one stage that ran and was committed; its cache lies elsewhere."""
    return shared("with-cache", run_and_commit)


@pytest.fixture
def project(ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, in which DVC runs the stage: it has removed the stage's outputs."""
    shutil.copytree(ran.path.parent, tmp_path / "copy")
    project = Project(tmp_path / "copy" / "project")
    assert project.contents("data/pad") == WRITTEN
    for name in WRITTEN:
        (project.path / name).unlink()
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("DVC_STAGE", "pad")
    return project


def test_outputs_come_back_from_the_cache_those_that_git_tracks_too(project: Project) -> None:
    """As files, whatever DVC is configured to make."""
    shutil.rmtree(project.path / ".git")
    project.run("git", "init", "--quiet")
    project.run("dvc", "config", "cache.type", "symlink")
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == WRITTEN
    assert (project.path / CACHED).is_symlink()
    assert not (project.path / UNCACHED).is_symlink()


def test_without_the_cache_the_committed_tables_of_the_same_run_come_back_from_git(
    project: Project,
) -> None:
    shutil.rmtree(project.path.parent / "cache")
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == {UNCACHED: b"2\n"}
    (project.path / UNCACHED).write_bytes(b"of another run\n")
    project.commit()
    (project.path / UNCACHED).unlink()
    assert ending.restore("pad") == ""
    assert not (project.path / UNCACHED).exists()


def test_in_a_clone_that_never_ran_there_is_nothing_to_say(project: Project) -> None:
    shutil.rmtree(project.path.parent / "cache")
    (project.path / "dvc.lock").unlink()
    project.run("git", "rm", "--cached", "--quiet", UNCACHED)
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == {}


def test_what_the_stage_has_written_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is put back of a stage that DVC does not run."""
    (project.path / CACHED).write_bytes(b"new")
    monkeypatch.delenv("DVC_STAGE")
    assert ending.restore("pad") == ""
    assert not (project.path / UNCACHED).exists()
    monkeypatch.setenv("DVC_STAGE", "pad")
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == {CACHED: b"new", UNCACHED: WRITTEN[UNCACHED]}


def test_what_could_not_be_put_back_is_told_with_the_command_that_does(project: Project) -> None:
    (project.path / "data" / "pad").rmdir()
    (project.path / "data" / "pad").touch()
    message = ending.restore("pad")
    assert message.startswith(NOT_ALL)
    assert CACHED in message
    assert UNCACHED in message
    assert "\n`dvc repro pad` with the former params and code brings them back." in message
    (project.path / "data" / "pad").unlink()
    assert "is cached - skipping run" in project.run("dvc", "repro", "pad")
    assert project.contents("data/pad") == WRITTEN


def test_a_failure_of_dvc_is_said_and_does_not_hide_why_the_stage_failed(project: Project) -> None:
    (project.path / "dvc.lock").write_text("stages: [", encoding="utf-8")
    assert ending.restore("pad").startswith(NOT_ALL)
