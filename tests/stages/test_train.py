"""A training keeps each epoch, resumes to the same bits, and fails without MLflow."""

import shutil
from pathlib import Path

import pytest

from sentiment.errors import UserError
from sentiment.model.training import EPOCH_METRICS
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_run_record
from sentiment.tracking import address, runs
from sentiment.tracking.address import StoreError
from stages import train
from tests.logged import curve
from tests.logged import runs as all_runs
from tests.small_project import ProjectCopy, enter, free_port, run_stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def padded_once(
    clone: ProjectCopy, empty_store_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> ProjectCopy:
    """Return a project before its training, which will be the one of `finished_once`."""
    project = clone.copy(tmp_path_factory.mktemp("padded") / "project")
    shutil.copy2(empty_store_once / address.DATABASE, project.path)
    run_stages(project, "fetch", "pad")
    return project


@pytest.fixture
def padded(
    padded_once: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectCopy:
    """Copy a project before its training, and make the copy the working directory."""
    return enter(padded_once.copy(tmp_path / "project"), monkeypatch)


def test_a_training_that_cannot_log_an_epoch_resumes_in_the_same_run_to_the_same_bits(
    padded: ProjectCopy,
    finished_once: ProjectCopy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "log_epochs", fail)
        with pytest.raises(StoreError):
            run_stages(padded, "train")
    (failed,) = all_runs()
    assert failed.info.status == "FAILED"
    capsys.readouterr()
    run_stages(padded, "train")
    printed = capsys.readouterr().out
    assert "Resuming after epoch 1 of 2" in printed
    assert " 2/2 " in printed
    assert " 1/2 " not in printed
    (run,) = all_runs()
    assert run.info.run_id == failed.info.run_id == read_run_record(Project.here()).run_id
    assert run.info.status == "FINISHED"
    assert [step for step, _ in curve(run.info.run_id)] == [1, 2]
    assert padded.contents("data/train") == finished_once.contents("data/train")
    history = "metrics/history.csv"
    assert (padded.path / history).read_bytes() == (finished_once.path / history).read_bytes()


def test_a_training_that_dvc_has_not_recorded_writes_everything_again(
    padded: ProjectCopy, finished_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC removes the files of a stage, and runs it again until dvc.lock has it."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_model", kill)
        with pytest.raises(KeyboardInterrupt):
            run_stages(padded, "train")
    for _ in ("killed before its files were written", "killed before dvc.lock was written"):
        shutil.rmtree(padded.path / "data" / "train", ignore_errors=True)
        (padded.path / "metrics" / "history.csv").unlink()
        run_stages(padded, "train")
        assert padded.contents("data/train") == finished_once.contents("data/train")
        assert (padded.path / "metrics" / "history.csv").exists()
        (run,) = all_runs()
        for name in EPOCH_METRICS:
            assert [step for step, _ in curve(run.info.run_id, name)] == [1, 2], name
    assert "not evaluated" in run.data.tags["mlflow.note.content"]
    assert run.outputs is None or run.outputs.model_outputs == []


@pytest.mark.usefixtures("finished")
def test_a_model_is_whole_without_the_files_of_the_stages_before() -> None:
    assert {path.name for path in Project.here().trained.iterdir()} == {
        "model.keras",
        "word_index.json",
        "config.json",
        "history.csv",
        "metrics.json",
    }


def test_params_that_change_during_the_training_are_refused_before_dvc_records_them(
    padded: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runs, "log_epochs", lambda *_: padded.change(lstm={"epochs": 9}))
        with pytest.raises(UserError, match="was changed during the training"):
            run_stages(padded, "train")
    assert not (padded.path / "data" / "train").exists()
    assert not (padded.path / "data" / "run.json").exists()


def test_a_server_that_does_not_answer_fails_the_training_before_it_begins(
    padded: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    before = padded.contents("data")
    with pytest.raises(StoreError, match=r"does not answer.*run the same command again"):
        run_stages(padded, "train", store=f"http://127.0.0.1:{free_port()}")
    assert padded.contents("data") == before
    assert "epoch " not in capsys.readouterr().out
