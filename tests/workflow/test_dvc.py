"""DVC goes on where it was killed."""

from pathlib import Path

import pytest

from tests.project import Project
from workflow import dvc

DVC_YAML = """
stages:
  count:
    cmd: echo ran >> counted && echo 1 > result
    deps: [input]
    outs: [result]
"""


def test_lock_files_that_dvc_was_killed_over_are_mended_and_no_stage_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    for text in ("one", "two"):
        Path("input").write_text(text, encoding="utf-8")
        project.run("dvc", "repro")
        if text == "one":
            project.commit()
    content = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(content[: content.index(b"cmd")])
    Path(".dvc/tmp/rwlock").write_bytes(b"")
    assert dvc.run("repro") == 0
    assert "dvc.lock was incomplete" in capfd.readouterr().out
    assert Path("counted").read_text(encoding="utf-8") == "ran\nran\n"
    Path("dvc.yaml").write_text(DVC_YAML.replace("&& echo 1", "&& false"), encoding="utf-8")
    assert dvc.run("repro") != 0
    assert Path("counted").read_text(encoding="utf-8") == "ran\nran\nran\n"  # not repeated
