"""What a model that is not trained in epochs knows of both parts of the training data."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

REVIEWS_AT_ONCE = 2000  # more would take more memory, fewer would leave cores idle


def in_parts(
    ask: Callable[[Any], NDArray[np.float32]], reviews: Sequence[Any] | NDArray[Any]
) -> NDArray[np.float32]:
    """Ask a model about some reviews at a time."""
    starts = range(0, len(reviews), REVIEWS_AT_ONCE)
    return np.concatenate([ask(reviews[start : start + REVIEWS_AT_ONCE]) for start in starts])


def history(
    parts: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]], seconds: float
) -> pd.DataFrame:
    """One row, as a network's history has it for each epoch, of a fit that took so many seconds.

    The parts are of training and of validation the labels and the answers, shape (reviews,).
    """
    row: dict[str, float] = {"epoch": 1}
    for prefix, (labels, answers) in zip(("", "val_"), parts, strict=True):
        row[f"{prefix}accuracy"] = float(metrics.accuracy_score(labels, answers > 0.5))
        row[f"{prefix}loss"] = float(metrics.log_loss(labels, answers.astype(np.float64)))
    return pd.DataFrame([{**row, "seconds": seconds}])
