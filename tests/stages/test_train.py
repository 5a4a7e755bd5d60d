"""A training keeps each epoch, resumes to the same bits, and fails without MLflow."""

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.project.checkpoint import STATE_FILE
from sentiment.project.documents import read_json
from sentiment.project.paths import Project
from sentiment.project.records import read_run_record
from sentiment.tracking import runs
from sentiment.tracking.store import StoreError
from stages import train
from tests.logged import curve
from tests.logged import runs as all_runs
from tests.small_project import ProjectCopy, free_port, run_stages

pytestmark = pytest.mark.slow


def fail_after_an_epoch(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the logging of the first epoch raise an error."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(runs, "log_epochs", fail)


@pytest.fixture
def padded(fresh: ProjectCopy, finished_once: ProjectCopy) -> ProjectCopy:
    """Return a project before its training, which will be the one of `finished_once`."""
    run_stages(fresh, "fetch", "pad")
    assert fresh.contents("data/pad") == finished_once.contents("data/pad")
    return fresh


@pytest.mark.parametrize(
    ("error", "status"), [(StoreError("away"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_training_that_fails_resumes_in_the_same_run_to_the_same_bits(
    padded: ProjectCopy,
    finished_once: ProjectCopy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: str,
) -> None:
    with monkeypatch.context() as patch:
        fail_after_an_epoch(patch, error)
        with pytest.raises(type(error)):
            run_stages(padded, "train")
    (failed,) = all_runs()
    assert failed.info.status == status
    capsys.readouterr()
    run_stages(padded, "train")
    assert "Resuming after epoch 1 of 2" in capsys.readouterr().out
    (run,) = all_runs()
    assert run.info.run_id == failed.info.run_id == read_run_record(Project.here()).run_id
    assert run.info.status == "FINISHED"
    assert [step for step, _ in curve(run.info.run_id)] == [1, 2]
    assert padded.contents("data/train") == finished_once.contents("data/train")
    history = "metrics/history.csv"
    assert (padded.path / history).read_bytes() == (finished_once.path / history).read_bytes()


def test_the_state_of_an_epoch_is_kept_before_the_epoch_is_logged(
    padded: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after_an_epoch(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_stages(padded, "train")
    (path,) = Project.here().checkpoints.glob(f"*/{STATE_FILE}")
    assert len(np.load(path)["epochs"]) == 1


def test_a_training_that_was_killed_after_its_last_epoch_writes_everything_again(
    padded: ProjectCopy, finished_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC removes the files of the stage before it runs the stage again."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_model", kill)
        with pytest.raises(KeyboardInterrupt):
            run_stages(padded, "train")
    (padded.path / "metrics" / "history.csv").unlink()
    run_stages(padded, "train")
    assert padded.contents("data/train") == finished_once.contents("data/train")
    assert (padded.path / "metrics" / "history.csv").exists()
    assert len(all_runs()) == 1


def test_the_run_is_an_output_and_the_model_has_the_same_bits_in_every_run(
    padded: ProjectCopy, finished_once: ProjectCopy
) -> None:
    run_stages(padded, "train")
    (run,) = all_runs()
    record = read_json(Project.here().run_file)
    assert record["run_id"] == run.info.run_id
    assert record["run_id"] != read_json(finished_once.path / "data" / "run.json")["run_id"]
    assert padded.contents("data/train") == finished_once.contents("data/train")


def test_a_model_is_whole_without_the_files_of_the_stages_before(padded: ProjectCopy) -> None:
    run_stages(padded, "train")
    names = {path.name for path in (padded.path / "data" / "train").iterdir()}
    assert names == {
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
        patch.setattr(runs, "log_epochs", lambda *_: padded.change(train={"epochs": 9}))
        with pytest.raises(UserError, match="was changed during the training"):
            run_stages(padded, "train")
    assert not (padded.path / "data" / "train").exists()
    assert not (padded.path / "data" / "run.json").exists()
    padded.change(train={"epochs": 2})
    run_stages(padded, "train")
    assert len(all_runs()) == 1


def test_a_server_that_does_not_answer_fails_the_training_before_it_begins(
    padded: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    before = padded.contents("data")
    with pytest.raises(StoreError, match=r"does not answer.*run the same command again"):
        run_stages(padded, "train", store=f"http://127.0.0.1:{free_port()}")
    assert padded.contents("data") == before
    assert "Epoch" not in capsys.readouterr().out


def test_what_the_diff_lacks_is_said_before_the_training(
    padded: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    (padded.path / "sentiment" / "model" / "new.py").touch()
    run_stages(padded, "train")
    said = "The diff in the run is not complete: git does not track sentiment/model/new.py\n"
    assert said in capsys.readouterr().out
    assert "new.py" in all_runs()[0].data.tags["git.diff"]
