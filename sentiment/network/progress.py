"""How far a training is, and how it went."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import NDArray

METRICS = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")  # of an epoch
COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")  # what Keras' EarlyStopping counts


class Progress(NamedTuple):
    """How far a training is, beside the weights of the model and the state of its optimizer.

    Attributes:
        rows: `METRICS` of each epoch so far.
        counters: `COUNTERS` of early stopping; empty without it.
        best: weights of the best epoch so far as early stopping keeps them; empty without it.
    """

    epochs: list[dict[str, float]]
    counters: dict[str, float]
    best: list[NDArray[Any]]


NO_PROGRESS = Progress([], {}, [])
OnEpoch = Callable[[Progress], None]


class TrainingResult(NamedTuple):
    """How a training went.

    Attributes:
        history: columns `epoch`, from 1, and `METRICS`; a row an epoch.
        kept_epoch: the epoch whose weights the model has: the best one with early stopping or
            `keep_best`, else the last.
    """

    history: pd.DataFrame
    kept_epoch: int


def history_frame(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The table of `Trained.history` from the metrics of each epoch."""
    history = pd.DataFrame(rows, columns=list(METRICS))
    history.insert(0, "epoch", range(1, len(rows) + 1))
    return history
