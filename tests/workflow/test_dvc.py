"""DVC goes on where it was killed."""

from pathlib import Path

import pytest

from tests.conftest import Sharer
from tests.project import Project
from workflow import dvc

DVC_YAML = """
stages:
  count:
    cmd: echo ran >> counted && echo 1 > result
    deps: [input]
    outs: [result]
"""


def cut_short(project: Project) -> None:
    project.path.mkdir(parents=True)
    (project.path / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    for text in ("one", "two"):
        (project.path / "input").write_text(text, encoding="utf-8")
        project.run("dvc", "repro")
        if text == "one":
            project.commit()
    lock = project.path / "dvc.lock"
    content = lock.read_bytes()
    lock.write_bytes(content[: content.index(b"cmd")])


@pytest.fixture
def ran(shared: Sharer) -> Project:
    """A repository whose stage ran for two inputs, and whose `dvc.lock` was then cut short."""
    return shared("cut-short", cut_short)


@pytest.fixture
def killed(ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    project = ran.copy(tmp_path / "project")
    monkeypatch.chdir(project.path)
    return project.path


def test_a_lock_file_that_was_cut_short_is_put_back_and_no_stage_runs_again(
    killed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dvc.run("repro") == 0
    assert "dvc.lock was incomplete" in capfd.readouterr().out
    assert (killed / "counted").read_text(encoding="utf-8") == "ran\nran\n"
    assert dvc.run("repro") == 0
    assert "up to date" in capfd.readouterr().out


def test_where_git_has_no_lock_file_the_run_cache_gives_all_of_it_back(killed: Path) -> None:
    Project(killed).run("git", "rm", "--quiet", "--cached", "dvc.lock")
    Project(killed).run("git", "commit", "--quiet", "--message", "without")
    assert dvc.run("repro") == 0
    assert (killed / "counted").read_text(encoding="utf-8") == "ran\nran\n"


def test_another_failure_is_not_repeated(killed: Path) -> None:
    Project(killed).run("git", "checkout", "--", "dvc.lock")
    (killed / "dvc.yaml").write_text(DVC_YAML.replace("&& echo 1", "&& false"), encoding="utf-8")
    assert dvc.run("repro") != 0
    assert (killed / "counted").read_text(encoding="utf-8") == "ran\nran\nran\n"
