"""An epoch of a training is a line, and counts its batches in a terminal."""

import sys

import pytest

from sentiment.model.training import EPOCH_METRICS
from sentiment.project.training.progress import show_epochs
from tests.models import new_training

pytestmark = pytest.mark.slow


def test_each_epoch_is_a_line_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    training = new_training(cell="simple_rnn", epochs=2)
    training.fit(lambda: None, [show_epochs(training.params.epochs, training.batches)])
    names, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    assert names == ["epoch", "seconds", "loss", "accuracy", "val_loss", "val_accuracy"]
    shown = [[line[0], *line[2:]] for line in lines]
    assert shown == [
        [f"{number}/2", *(f"{row[name]:.4f}" for name in names[2:])]
        for number, row in enumerate(training.epoch_metrics, 1)
    ]


def test_in_a_terminal_an_epoch_counts_its_batches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    callback = show_epochs(epochs=1, batches=4)
    callback.on_epoch_begin(0, {})
    for batch in range(3):
        callback.on_train_batch_end(batch)
    callback.on_epoch_end(0, dict.fromkeys(EPOCH_METRICS, 0.5))
    assert "epoch 1/1:   0%" in capsys.readouterr().err
