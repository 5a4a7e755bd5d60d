"""A training resumes if its bits stay the same, and keeps each epoch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sentiment.project.manifest import ModelManifest, read_manifest

from sentiment.errors import UserError
from sentiment.model.training import EPOCH_METRICS
from sentiment.project import paths
from sentiment.project.checkpoint import (
    CHECKPOINTS_FOLDER,
    JOURNAL_FILE,
    STATE_FILE,
    Checkpoint,
    Journal,
    exclusive_checkpoint,
)
from sentiment.project.digests import file_digest
from sentiment.project.documents import read_table
from sentiment.project.paths import TRAIN_FOLDER
from sentiment.project.provenance import UncommittedChanges
from sentiment.tracking.runs import LiveRun
from stages import train
from stages.train import begin, resume
from tests.conftest import run_stages
from tests.models import new_training
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow
EPOCH = dict.fromkeys(EPOCH_METRICS, 0.5)
MACHINE = {"processor": "Zen 4", "tensorflow": "2.20.0"}


def use_machine(monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]) -> None:
    """Let the stage run on a machine with these tags."""
    monkeypatch.setattr(train, "machine_tags", lambda: tags)
    monkeypatch.setattr(train, "provenance_tags", lambda _: {**tags, "dvc.experiment": "some"})


def kill(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def checkpoint(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkpoint]:  # noqa: ARG001
    """Yield an empty checkpoint, on `MACHINE`."""
    use_machine(monkeypatch, MACHINE)
    monkeypatch.setattr(train, "uncommitted_changes", lambda: UncommittedChanges("", []))
    with exclusive_checkpoint("abc") as empty:
        yield empty


def train_an_epoch(checkpoint: Checkpoint) -> Journal:
    """Begin a training, stop it after an epoch, and return its journal."""
    training = new_training()
    journal = begin(training, checkpoint)
    training.epoch_metrics = [EPOCH]
    checkpoint.write_state(training.capture())
    return journal


def resumed(checkpoint: Checkpoint) -> tuple[Journal | None, int]:
    """Return the journal of the training that resumes, and the number of its epochs."""
    training = new_training()
    journal = resume(training, checkpoint)
    return journal, len(training.epoch_metrics)


def test_a_training_resumes_with_its_id_after_its_last_epoch(checkpoint: Checkpoint) -> None:
    assert resumed(checkpoint) == (None, 0)
    journal = train_an_epoch(checkpoint)
    assert resumed(checkpoint) == (journal, 1)


@pytest.mark.parametrize("tag", MACHINE)
def test_on_another_machine_or_with_other_packages_a_new_training_begins_and_it_says_so(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tag: str,
) -> None:
    before = train_an_epoch(checkpoint)
    use_machine(monkeypatch, {**MACHINE, tag: "other"})
    assert resumed(checkpoint) == (None, 0)
    assert capsys.readouterr().out == (
        "The training starts again, because its bits would change: "
        f"{tag}: {MACHINE[tag]} then, other now\n"
    )
    new = begin(new_training(), checkpoint)
    assert new.training_id != before.training_id
    assert resumed(checkpoint) == (new, 0)


@pytest.mark.parametrize("killed_at", ["write_journal", "write_state"])
def test_a_kill_while_a_training_begins_mixes_no_two_trainings(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    train_an_epoch(checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            begin(new_training(), checkpoint)
    assert resumed(checkpoint) == (None, 0)
    journal = begin(new_training(), checkpoint)
    assert resumed(checkpoint) == (journal, 0)


def test_what_the_diff_lacks_is_said_before_the_training(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = UncommittedChanges("+x = 1", ["git does not track network/new.py"])
    monkeypatch.setattr(train, "uncommitted_changes", lambda: changes)
    journal = begin(new_training(), checkpoint)
    assert journal.diff == "+x = 1"
    assert capsys.readouterr().out == (
        "The diff in the run is not complete: git does not track network/new.py\n"
    )


def test_the_journal_and_the_manifest_have_the_digest_of_the_model(finished: ProjectCopy) -> None:
    (path,) = (finished.path / CHECKPOINTS_FOLDER).glob(f"*/{JOURNAL_FILE}")
    model = file_digest(paths.MODEL_FILE)
    assert Journal.model_validate_json(path.read_bytes()).model_digest == model
    assert read_manifest(TRAIN_FOLDER, ModelManifest).model_digest == model


def test_the_state_of_an_epoch_is_kept_before_the_epoch_is_logged(
    project: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is killed in between then logs the epoch when it resumes."""
    project.change(train={"units": 5})

    monkeypatch.setattr(LiveRun, "log_epochs", kill)
    with pytest.raises(KeyboardInterrupt):
        run_stages(project, "train")
    (path,) = (project.path / CHECKPOINTS_FOLDER).glob(f"*/{STATE_FILE}")
    assert len(np.load(path)["epochs"]) == 1


def test_a_training_that_was_killed_after_its_last_epoch_writes_all_epochs_again(
    project: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC removes the files of the stage before it runs the stage again."""
    project.change(train={"units": 5})

    with monkeypatch.context() as patch:
        patch.setattr(train, "save_model", kill)
        with pytest.raises(KeyboardInterrupt):
            run_stages(project, "train")
    expected = paths.HISTORY_FILE.read_bytes()
    paths.HISTORY_FILE.unlink()
    run_stages(project, "train")
    assert paths.HISTORY_FILE.read_bytes() == expected


def test_params_that_change_during_the_training_are_refused_before_dvc_records_them(
    fresh: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stages(fresh, "fetch", "pad")

    def change_params(*_: object) -> None:
        fresh.change(train={"epochs": 9})

    monkeypatch.setattr(LiveRun, "log_epochs", change_params)
    with pytest.raises(UserError, match="was changed during the training"):
        run_stages(fresh, "train")
    assert not (fresh.path / paths.MODEL_FILE).exists()
    fresh.change(train={"epochs": 2})
    monkeypatch.undo()
    run_stages(fresh, "train")
    assert len(read_table(fresh.path / paths.HISTORY_FILE)) == 2
