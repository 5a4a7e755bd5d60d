"""`make verify` names the files that differ. tests/stages/test_own_texts.py runs it as a whole."""

import json
from pathlib import Path

import pytest

from tests.conftest import Caller
from tests.project import Project
from tools import verify


def write_data(data: Path, files: dict[str, str]) -> Path:
    """Write files into a folder like `data/`."""
    for name, content in files.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content, encoding="utf-8")
    return data


def test_everything_but_the_run_and_its_timings_is_compared(tmp_path: Path) -> None:
    recorded = write_data(
        tmp_path / "recorded",
        {
            "fetch/about.json": "{}",
            "train/about.json": "{}",
            "train/history.csv": "epoch,loss,seconds\n1,0.5,3.0\n",
            "evaluate/cost.json": "1",
            "evaluate/metrics.json": "1",
            "pad/x_train.npy": "1",
        },
    )
    same = {
        "fetch/about.json": "{}",
        "train/about.json": "changed",
        "train/history.csv": "epoch,loss,seconds\n1,0.5,4.0\n",
        "evaluate/cost.json": "2",
        "evaluate/metrics.json": "1",
        "pad/x_train.npy": "1",
    }
    assert verify.differing_files(recorded, write_data(tmp_path / "same", same)) == set()
    assert len(verify.comparable_files(recorded)) == 4
    different = {
        "fetch/about.json": "{} ",
        "train/history.csv": "epoch,loss,seconds\n1,0.6,3.0\n",
        "evaluate/metrics.json": "1",
        "evaluate/more.json": "1",
    }
    assert verify.differing_files(recorded, write_data(tmp_path / "different", different)) == {
        "fetch/about.json",
        "train/history.csv",
        "evaluate/more.json",
        "pad/x_train.npy",
    }


@pytest.mark.slow
def test_files_that_differ_are_named_with_the_changed_environment(
    project: Project,
    finished: Project,
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Give the clone the results of the first run, so that the pipeline does not run."""
    monkeypatch.setattr(verify, "run_in_clone", lambda clone: finished.copy(clone).path)
    folder = project.path / "data" / "train"
    run = json.loads((folder / "run.json").read_bytes())
    run["tags"]["processor.name"] = "Another Processor"
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    changed = {**metrics, "test_accuracy": 0.25}
    (project.path / "data/evaluate/metrics.json").write_text(json.dumps(changed), encoding="utf-8")
    project.run("dvc", "commit", "--force", "train", "evaluate")
    output = call.fail(verify.main)
    assert "These files differ: evaluate/metrics.json\n" in output
    assert f"Test accuracy: 0.25 → {metrics['test_accuracy']}\n" in output
    assert "processor.name Another Processor → " in output
    assert verify.main.main(["--json"], standalone_mode=False) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["differing"] == ["evaluate/metrics.json"]
    assert document["changed"]["processor.name"][0] == "Another Processor"
    assert document["test_accuracy"] == [0.25, metrics["test_accuracy"]]


@pytest.mark.slow
def test_data_that_is_not_up_to_date_with_the_commit_is_refused(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "run_in_clone", None)  # it would train
    project.change(train={"units": 5})
    assert "Commit them first" in call.fail(verify.main)
    project.run("git", "checkout", "params.yaml")
    (project.path / "data" / "train" / "metrics.json").unlink()
    assert "Run `make repro` first" in call.fail(verify.main)
