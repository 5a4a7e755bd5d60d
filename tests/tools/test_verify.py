"""`make verify` names what differs; that nothing does is seen in tests/stages/test_own_texts.py."""

import json

import pytest

from tests.conftest import Caller
from tests.project import Project
from tools import verify


def test_what_differs_is_named_with_what_changed_since(
    project: Project,
    finished: Project,
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the run in the clone, which gives what the first run gave."""
    monkeypatch.setattr(verify, "repeat", lambda clone: finished.copy(clone).path)
    folder = project.path / "data" / "train"
    run = json.loads((folder / "run.json").read_bytes())
    run["tags"]["processor.name"] = "Another Processor"
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    project.run("dvc", "commit", "--force", "train", "evaluate")
    output = call.fail(verify.main)
    assert "Not the same again: train/metrics.json\n" in output
    assert "processor.name Another Processor → " in output
    assert verify.main.main(["--json"], standalone_mode=False) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["differing"] == ["train/metrics.json"]
    assert document["changed"]["processor.name"][0] == "Another Processor"
    before, now = document["test_accuracy"]
    assert 0 < before == now


def test_what_is_not_the_commits_own_is_refused(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "repeat", None)  # which trains
    project.change(train={"units": 5})
    assert "Commit them first" in call.fail(verify.main)
    project.run("git", "checkout", "params.yaml")
    (project.path / "data" / "train" / "metrics.json").unlink()
    assert "run `make repro` first" in call.fail(verify.main)
