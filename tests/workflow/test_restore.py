"""What DVC removed before it ran a stage comes back when the stage fails."""

import shutil
from pathlib import Path

import pytest

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


def test_outputs_that_the_stage_has_not_written_come_back_from_the_cache_or_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/.gitignore").write_text("/pad/x.npy\n", encoding="utf-8")
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    Path("params.yaml").write_text("{}\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "repro")
    shutil.rmtree("data/pad")  # as DVC does before it runs the stage
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert ending.restore("pad") == ""  # DVC does not run it
    assert project.contents("data/pad") == {}
    monkeypatch.setenv("DVC_STAGE", "pad")
    Path("data/pad").mkdir()
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == {CACHED: b"1\n", UNCACHED: b"2\n"}
    Path(CACHED).write_bytes(b"new")
    Path(UNCACHED).unlink()
    assert ending.restore("pad") == ""
    assert project.contents("data/pad") == {CACHED: b"new", UNCACHED: b"2\n"}
    project.commit()
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data/pad")
    Path("data/pad").mkdir()
    assert ending.restore("pad") == ""  # git has what DVC has not, as in a fresh clone
    assert project.contents("data/pad") == {UNCACHED: b"2\n"}
    Path("dvc.lock").write_text("stages: [", encoding="utf-8")
    message = ending.restore("pad")
    assert message.startswith("\nThe outputs of the last good run were not all put back: ")
    assert "\n`dvc repro pad` with the former params and code brings them back." in message
