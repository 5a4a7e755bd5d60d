"""The progress of a training, and its result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import NDArray

METRICS = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")  # every epoch has these
COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")  # attributes of Keras' EarlyStopping


class Progress(NamedTuple):
    """The progress of a training, without the model's weights and the optimizer's state.

    Attributes:
        epochs: `METRICS` of each epoch so far.
        counters: `COUNTERS` of early stopping. Empty without early stopping.
        best: weights of the best epoch so far, as early stopping keeps them. Empty without early
            stopping.
    """

    epochs: list[dict[str, float]]
    counters: dict[str, float]
    best: list[NDArray[Any]]


NO_PROGRESS = Progress([], {}, [])
OnEpoch = Callable[[Progress], None]  # called after each epoch


class TrainingResult(NamedTuple):
    """The result of a training.

    Attributes:
        history: columns `epoch`, counted from 1, and `METRICS`. One row an epoch.
        kept_epoch: the epoch whose weights the model has: the best one with early stopping or
            `keep_best`, otherwise the last.
    """

    history: pd.DataFrame
    kept_epoch: int


def history_frame(epochs: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Return the metrics of each epoch as a table, see `TrainingResult.history`."""
    history = pd.DataFrame(epochs, columns=list(METRICS))
    history.insert(0, "epoch", range(1, len(epochs) + 1))
    return history
