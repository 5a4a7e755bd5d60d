"""`sentiment verify` compares the committed outputs with those that a clone makes."""

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.project import Project
from workflow import verification

pytestmark = pytest.mark.slow
LOCK = "stages:\n  train:\n    outs:\n    - {path: data/train, md5: %s}\n"


@pytest.fixture
def committed(fresh: Project) -> Project:
    """Return a project whose commit has an output."""
    (fresh.path / "dvc.lock").write_text(LOCK % "aa", encoding="utf-8")
    fresh.commit()
    return fresh


def let_the_clone_make(digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let DVC write another digest of the output in the clone, instead of running the stages."""

    def run_dvc(*_: str, folder: Path, **__: str) -> int:
        (folder / "dvc.lock").write_text(LOCK % digest, encoding="utf-8")
        return 0

    monkeypatch.setattr(verification, "run_dvc", run_dvc)


def test_files_that_git_does_not_track_do_not_stop_a_verification(
    committed: Project, monkeypatch: pytest.MonkeyPatch, sentiment: Command
) -> None:
    (committed.path / "notes.txt").touch()
    let_the_clone_make("aa", monkeypatch)
    assert sentiment("verify") == "All 1 outputs are the same, bit for bit.\n"


@pytest.mark.usefixtures("committed")
def test_outputs_that_differ_are_named(monkeypatch: pytest.MonkeyPatch, sentiment: Command) -> None:
    let_the_clone_make("bb", monkeypatch)
    assert sentiment.fail("verify") == "Error: These outputs differ: data/train\n"


@pytest.mark.usefixtures("committed")
def test_a_pipeline_that_fails_in_the_clone_is_said(
    monkeypatch: pytest.MonkeyPatch, sentiment: Command
) -> None:
    monkeypatch.setattr(verification, "run_dvc", lambda *_, **__: 1)
    assert "The pipeline failed in a clone of this commit" in sentiment.fail("verify")
