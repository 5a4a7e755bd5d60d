"""All state of a training, as arrays: what it takes to resume it to the same bits.

These are the variables of the model and of its optimizer, those of the generators of dropout
included, the metrics so far and what early stopping counts. The order of the batches needs no
state: with a seed set, every epoch draws the same one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

METRICS = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")  # of an epoch
COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")  # what Keras' EarlyStopping counts
VARIABLE, BEST, COUNTER, ROWS = "variable", "best", "counter", "rows"  # names of arrays


class Progress(NamedTuple):
    """How far a training is, beside the weights of the model and the state of its optimizer.

    Attributes:
        rows: `METRICS` of each epoch so far.
        counters: `COUNTERS` of early stopping; empty without it.
        best: weights of the best epoch so far as early stopping keeps them; empty without it.
    """

    rows: list[dict[str, float]]
    counters: dict[str, float]
    best: list[NDArray[Any]]


START = Progress([], {}, [])
OnEpoch = Callable[[Progress], None]


class Trained(NamedTuple):
    """How a training went.

    Attributes:
        history: columns `epoch`, from 1, and `METRICS`; a row an epoch.
        kept_epoch: the epoch whose weights the model has: the best one with early stopping or
            `keep_best`, else the last.
    """

    history: pd.DataFrame
    kept_epoch: int


def history_of(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The table of `Trained.history` from the metrics of each epoch."""
    history = pd.DataFrame(rows, columns=list(METRICS))
    history.insert(0, "epoch", range(1, len(rows) + 1))
    return history


def capture(model: "keras.Model", progress: Progress) -> dict[str, NDArray[Any]]:
    """The state of a model and how far its training is, as arrays by name."""
    variables = [variable.numpy() for variable in _variables(model)]
    return {
        **{f"{VARIABLE}-{at}": np.asarray(value) for at, value in enumerate(variables)},
        **{f"{BEST}-{at}": weights for at, weights in enumerate(progress.best)},
        **{f"{COUNTER}-{name}": np.asarray(value) for name, value in progress.counters.items()},
        ROWS: np.array([[row[name] for name in METRICS] for row in progress.rows], np.float64),
    }


def restore(model: "keras.Model", arrays: Mapping[str, NDArray[Any]]) -> Progress:
    """Put a model into the state that `capture` took, and return how far its training is."""
    for variable, value in zip(_variables(model), _numbered(arrays, VARIABLE), strict=True):
        variable.assign(value)
    rows = [dict(zip(METRICS, row, strict=True)) for row in arrays[ROWS].tolist()]
    names = [name for name in COUNTERS if f"{COUNTER}-{name}" in arrays]
    counters = {name: arrays[f"{COUNTER}-{name}"].item() for name in names}
    return Progress(rows, counters, _numbered(arrays, BEST))


def _numbered(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    count = sum(name.startswith(f"{kind}-") for name in arrays)
    return [arrays[f"{kind}-{at}"] for at in range(count)]


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    """All state of the model: weights, the generators of dropout, and the optimizer's."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
