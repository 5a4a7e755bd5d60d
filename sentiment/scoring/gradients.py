"""Gradients by the distance from the last word: the reviews, the table, and how far they reach.

See `sentiment.network.gradients` for what they say.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REACHED = 0.01  # share of the greatest mean norm at which a gradient still counts
LOW, HIGH = 0.1, 0.9  # quantiles over the reviews: the spread


def sample(x: NDArray[Any], padding_token: int, reviews: int) -> NDArray[Any]:
    """The first reviews that fill their row; where too few do, the longest.

    Args:
        x: token ids, shape (all reviews, length).
        padding_token: the id that fills short reviews.
        reviews: how many, at most.

    Returns:
        Their rows, shape (reviews, length).
    """
    words = np.count_nonzero(x != padding_token, axis=1)
    return x[np.argsort(-words, kind="stable")[:reviews]]


def by_distance(
    norms: NDArray[np.float32], x: NDArray[Any], padding_token: int
) -> NDArray[np.float64]:
    """Norms by the distance from a review's last word, each review's divided by their mean.

    Reviews differ in the size of all of their gradients, and each is to count the same.

    Args:
        norms: shape (reviews, length).
        x: the token ids, of the same shape.
        padding_token: the id that fills short reviews, at either side.

    Returns:
        Shape (reviews, words of the shortest review), the last word first; zeros for a review
        without any gradient.
    """
    words = x != padding_token
    last = words.shape[1] - 1 - np.argmax(words[:, ::-1], axis=1)
    distances = np.arange(np.count_nonzero(words, axis=1).min())
    found = np.take_along_axis(norms.astype(np.float64), last[:, None] - distances, axis=1)
    means = found.mean(axis=1, keepdims=True)
    shares: NDArray[np.float64] = found / np.where(means > 0, means, 1)
    return shares


def table(shares: NDArray[np.float64]) -> pd.DataFrame:
    """The gradient at each distance, relative to the mean at the last word.

    Args:
        shares: see `by_distance`.

    Returns:
        Columns `distance`, in words from the last one; `mean`; `low` and `high`, the quantiles
        `LOW` and `HIGH` over the reviews. Without a gradient at any last word, as maximum pooling
        may leave it, all is relative to the greatest mean.
    """
    mean = shares.mean(axis=0)
    scale = mean[0] or mean.max() or 1.0
    low, high = np.quantile(shares, [LOW, HIGH], axis=0)
    columns = {"mean": mean / scale, "low": low / scale, "high": high / scale}
    return pd.DataFrame({"distance": np.arange(len(mean)), **columns})


def reach(table: pd.DataFrame) -> int:
    """The greatest distance, in words, whose mean is at least `REACHED` of the greatest mean.

    Zero for a network without any gradient.
    """
    means = table["mean"]
    reached = (means > 0) & (means >= REACHED * means.max())
    return int(table["distance"][reached].max()) if reached.any() else 0


def curve(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The mean at each distance as the values of a metric, whose steps are the distances."""
    return table.set_index("distance")[["mean"]].rename(columns={"mean": metric})
