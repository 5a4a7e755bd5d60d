"""Compute confidence intervals over the texts of a test set.

Texts of one kind have the same labels, actual and predicted. The metrics of a resample follow from
how many texts of each kind it has, and these numbers are multinomially distributed.

Source: Efron and Tibshirani 1993, *An Introduction to the Bootstrap*.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every interval that is shown, except for a verdict
RESAMPLES = 9_999
RESAMPLING_SEED = 0
BATCH_VALUES = 2**21  # numbers of texts that are in memory at once: 16 MB
Values = NDArray[np.floating]
MetricByKind = Callable[[Values], Values]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return Wilson's confidence interval of a proportion.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    from scipy.stats import binomtest

    ends = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def count_kinds(texts: pd.DataFrame) -> tuple[pd.DataFrame, Values]:
    """Return the different rows of a table, and how often it has each.

    Returns:
        A row for each kind, sorted, so that resamples do not depend on the order of the texts;
        shape (kinds,), float64, which matrix products need to be fast.
    """
    counts = texts.groupby([*texts]).size().astype(np.float64)
    return counts.index.to_frame(index=False), counts.to_numpy()


def resample(counts: Values, statistic: MetricByKind) -> Values:
    """Return a statistic of `RESAMPLES` bootstrap samples, the same for the same arguments.

    Args:
        counts: number of texts of each kind, shape (kinds,).
        statistic: returns its value for numbers of texts of each kind, shape (..., kinds).
    """
    rng = np.random.default_rng(RESAMPLING_SEED)
    texts = int(counts.sum())
    batch = max(1, BATCH_VALUES // len(counts))
    values = []
    for first in range(0, RESAMPLES, batch):
        samples = rng.multinomial(texts, counts / texts, min(batch, RESAMPLES - first))
        values.append(statistic(samples.astype(np.float64)))
    return np.concatenate(values)


def percentile_interval(values: Values, confidence: float) -> Interval | None:
    """Return the interval between two percentiles, or None if all values are the same."""
    if not np.ptp(values):
        return None
    outside = (1 - confidence) / 2
    return Interval(*np.quantile(values, [outside, 1 - outside]).tolist())


def accuracy_by_kind(actual: pd.Series, predicted: pd.Series) -> MetricByKind:
    """Return a function that computes the accuracy from the number of texts of each kind.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
    """
    is_hit = (actual == predicted).to_numpy(np.float64)
    return lambda counts: np.asarray(counts @ is_hit / counts.sum(axis=-1))


def f1_by_kind(actual: pd.Series, predicted: pd.Series, labels: list[str]) -> MetricByKind:
    """Return a function that computes the mean F1 from the number of texts of each kind.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
        labels: those whose F1 is averaged. It is 0 for a label that is neither predicted nor
            actual, as in scikit-learn with `zero_division=0`.
    """
    names = np.array(labels, object)
    is_actual = actual.to_numpy(object)[:, np.newaxis] == names
    is_predicted = predicted.to_numpy(object)[:, np.newaxis] == names
    is_hit = (is_actual & is_predicted).astype(np.float64)
    occurrences = is_actual.astype(np.float64) + is_predicted
    return lambda counts: np.asarray(
        (2 * (counts @ is_hit) / np.maximum(counts @ occurrences, 1)).mean(axis=-1)
    )


def balanced_accuracy_by_kind(actual: pd.Series, predicted: pd.Series) -> MetricByKind:
    """Return a function that computes the mean recall of all labels that occur.

    Args:
        actual: the label of each kind, shape (kinds,). `predicted` likewise.
    """
    names = np.array(sorted(set(actual)), object)
    is_actual = (actual.to_numpy(object)[:, np.newaxis] == names).astype(np.float64)
    is_hit = is_actual * (actual == predicted).to_numpy()[:, np.newaxis]
    return lambda counts: np.asarray(
        ((counts @ is_hit) / np.maximum(counts @ is_actual, 1)).mean(axis=-1)
    )
