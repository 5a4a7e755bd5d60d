"""`make verify` finds that the pipeline gives the same again, and what it does not."""

import json
import signal
from pathlib import Path

import pytest

from sentiment.errors import UserError
from tests.conftest import Starter
from tests.project import Project, until
from tools import verify

VERIFY = ("python", "-m", "tools.verify")


def test_the_same_commit_gives_the_same_files(project: Project) -> None:
    before = project.contents("data")
    output = project.run(*VERIFY, TF_XLA_FLAGS="")  # as compiled anew
    assert "files are the same, bit for bit" in output
    assert "Running stage 'train'" in output
    assert project.contents("data") == before


def test_what_differs_is_named_with_what_changed_since(
    project: Project,
    finished: Project,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without the run in the clone, which gives what the first run gave."""
    monkeypatch.chdir(project.path)
    monkeypatch.setattr(verify, "repeat", lambda clone: finished.copy(clone).path)
    folder = project.path / "data" / "train"
    run = json.loads((folder / "run.json").read_bytes())
    run["tags"]["processor.name"] = "Another Processor"
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    project.run("dvc", "commit", "--force", "train")
    project.run("dvc", "commit", "--force", "evaluate")
    with pytest.raises(UserError) as raised:
        verify.main.main([], standalone_mode=False)
    output = str(raised.value)
    assert "Not the same again:\n  train/metrics.json\n" in output
    assert "processor.name: Another Processor → " in output
    assert verify.main.main(["--json"], standalone_mode=False) == 1
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert document["differing"] == ["train/metrics.json"]
    assert document["changed"]["processor.name"][0] == "Another Processor"
    before, now = document["test_accuracy"]
    assert 0 < before == now


def test_one_that_is_ended_takes_its_clone_and_its_pipeline_along(
    project: Project, start: Starter, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    process = start(project, *VERIFY, TMPDIR=str(tmp_path / "scratch"))
    until(lambda: list(tmp_path.glob("scratch/*/clone/data/fetch")))
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.glob("scratch/*/clone")) == []


@pytest.mark.parametrize(
    ("change", "message"), [("params", "Commit them first"), ("data", "run `make repro` first")]
)
def test_what_is_not_the_commits_own_is_refused(
    project: Project, change: str, message: str
) -> None:
    if change == "params":
        project.change(train={"units": 5})
    else:
        (project.path / "data" / "train" / "metrics.json").unlink()
    output = project.fail(*VERIFY)
    assert message in output
    assert "Running stage" not in output
