"""Intervals of a metric over seeds: of one group of seeds, and of the difference of two groups."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from sentiment.evaluation.intervals import CONFIDENCE, Interval


def difference_interval(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """Return Welch's confidence interval of the mean of B minus the mean of A.

    Source: Welch 1947, The Generalization of 'Student's' Problem.

    Args:
        a: value of each seed of A, of which there are at least two.
        b: the same of B.

    Returns:
        None: neither group varies, so there is no interval.
    """
    if np.ptp(a) == np.ptp(b) == 0:
        return None
    result = stats.ttest_ind(b, a, equal_var=False)
    return Interval(*map(float, result.confidence_interval(CONFIDENCE)))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return Student's confidence interval of the mean of at least two values."""
    mean = float(np.mean(values))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    half = float(quantile * stats.sem(values))
    return Interval(mean - half, mean + half)
