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
    """One row, as a network's history has it for each epoch.

    Args:
        parts: of training and of validation the labels and the answers, shape (reviews,).
        seconds: that it took.
    """
    trained, validated = (accuracy_and_loss(*part) for part in parts)
    row = {**trained, **{f"val_{name}": x for name, x in validated.items()}, "seconds": seconds}
    return pd.DataFrame([{"epoch": 1, **row}])


def accuracy_and_loss(
    labels: NDArray[np.uint8], probabilities: NDArray[np.float32]
) -> dict[str, float]:
    """Accuracy at a threshold of one half, and cross-entropy loss (natural logarithm)."""
    return {
        "accuracy": float(metrics.accuracy_score(labels, probabilities > 0.5)),
        "loss": float(metrics.log_loss(labels, probabilities.astype(np.float64))),
    }
