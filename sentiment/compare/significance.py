"""Statistics over seeds: the interval of a mean, and the difference of two means."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from sentiment.evaluation.metrics import CONFIDENCE, Interval


class MeanDifference(NamedTuple):
    """The difference of two means over seeds: the mean of B minus the mean of A."""

    value: float
    interval: Interval
    p_value: float


def compare_seeds(a: Sequence[float], b: Sequence[float]) -> MeanDifference | None:
    """Compare the means of two groups of seeds by Welch's test.

    Source: Welch 1947, The Generalization of 'Student's' Problem.

    Args:
        a: the metric of each seed of A, of which there are at least two. `b` likewise.

    Returns:
        None if neither group varies: the test is not defined.
    """
    if np.ptp(a) == np.ptp(b) == 0:
        return None
    result = stats.ttest_ind(b, a, equal_var=False)
    low, high = result.confidence_interval(CONFIDENCE)
    value = float(np.mean(b) - np.mean(a))
    return MeanDifference(value, Interval(float(low), float(high)), float(result.pvalue))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return Student's confidence interval of the mean of at least two values."""
    mean = float(np.mean(values))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    half = float(quantile * stats.sem(values))
    return Interval(mean - half, mean + half)
