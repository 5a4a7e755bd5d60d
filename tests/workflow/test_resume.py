"""A training writes its checkpoint and its run after each epoch, and continues from there."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiment.network.progress import METRICS, OnEpoch, Progress, TrainingResult, history_frame
from sentiment.network.training import Training
from tests.conftest import epochs, runs
from workflow import checkpoints
from workflow.outputs import RunRecord
from workflow.resume import train_or_resume
from workflow.tracking import live_run

pytestmark = pytest.mark.usefixtures("root_with_store")

EPOCHS = 3


class Counting:
    """A training without a model. Its state is the number of its epochs."""

    params = SimpleNamespace(epochs=EPOCHS)

    def capture(self, progress: Progress) -> dict[str, NDArray[Any]]:
        return {"epochs": np.array(len(progress.epochs))}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> Progress:
        return progress_of(int(arrays["epochs"]))

    def fit(self, progress: Progress, on_epoch: OnEpoch, verbose: bool) -> TrainingResult:
        assert not verbose
        for count in range(len(progress.epochs) + 1, EPOCHS + 1):
            on_epoch(progress_of(count))
        return TrainingResult(history_frame(progress_of(EPOCHS).epochs), EPOCHS)


def progress_of(count: int) -> Progress:
    return Progress([dict.fromkeys(METRICS, 0.5) for _ in range(count)], {}, [])


def train(on_epoch: OnEpoch) -> TrainingResult:
    """Train or resume the only training of the test."""
    training = cast(Training, Counting())
    with checkpoints.exclusive_checkpoint("key") as checkpoint:
        start = checkpoint.start
        record = RunRecord(
            training_id=start.training_id,
            name="lstm-4",
            started=start.time,
            tags={},
            datasets=[],
            uncommitted="",
        )
        with live_run(record, {}) as run:
            return train_or_resume(training, checkpoint, run, on_epoch, verbose=False)


def test_checkpoint_and_run_have_an_epoch_before_it_is_reported() -> None:
    reported: list[int] = []

    def on_epoch(progress: Progress) -> None:
        reported.append(len(progress.epochs))
        with np.load(f"{checkpoints.FOLDER}/key/{checkpoints.STATE_FILE}") as arrays:
            assert arrays["epochs"] == reported[-1]
        (run,) = runs()
        assert epochs(run.info.run_id) == [*range(1, reported[-1] + 1)]

    assert len(train(on_epoch).history) == EPOCHS
    assert reported == [1, 2, 3]


def test_interrupted_training_continues_after_its_last_epoch_and_reports_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reported: list[int] = []

    def interrupt_once(progress: Progress) -> None:
        reported.append(len(progress.epochs))
        if reported == [1, 2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupt_once)
    train(interrupt_once)
    assert reported == [1, 2, 2, 3]
    (run,) = runs()
    assert epochs(run.info.run_id) == [1, 2, 3]
    assert "Resuming after epoch 2 of 3" in capsys.readouterr().out
