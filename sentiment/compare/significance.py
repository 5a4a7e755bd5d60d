"""Statistics of a metric over seeds: of one group of seeds, and of two groups."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from sentiment.evaluation.metrics import CONFIDENCE, Interval


class MeanDifference(NamedTuple):
    """The difference of two mean values of a metric.

    Attributes:
        value: mean of B minus mean of A.
        p_value: p-value of the test that they are equal.
    """

    value: float
    interval: Interval
    p_value: float


def compare_seeds(a: Sequence[float], b: Sequence[float]) -> MeanDifference | None:
    """Compare the means of two groups of seeds by Welch's test.

    Source: Welch 1947, The Generalization of 'Student's' Problem.

    Args:
        a: value of each seed of A, of which there are at least two.
        b: the same of B.

    Returns:
        The difference of the means. None: neither group varies, so the test is not defined.
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
