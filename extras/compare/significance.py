"""Compute the confidence interval and the p-value of a difference, with SciPy."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import Interval
from workflow.registry.promotion import DiscordantPairs


def paired_interval(pairs: DiscordantPairs, reviews: int, confidence: float) -> Interval:
    """Return the confidence interval of accuracy b minus accuracy a on the same reviews.

    Given their number, the discordant pairs that only b gets right have a binomial distribution.
    Its exact interval contains one half, where a and b are equally accurate, if and only if the
    p-value of McNemar's exact test is at least 1 - `confidence`.

    Source: Clopper and Pearson 1934, The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial.

    Args:
        pairs: the discordant pairs.
        reviews: number of reviews.
        confidence: level of the interval.
    """
    discordant = pairs.only_a + pairs.only_b
    if not discordant:
        return Interval(0.0, 0.0)
    share = stats.binomtest(pairs.only_b, discordant).proportion_ci(confidence, "exact")
    scale = discordant / reviews
    return Interval(scale * (2 * float(share.low) - 1), scale * (2 * float(share.high) - 1))


def welch_test(
    a: NDArray[np.float64], b: NDArray[np.float64], confidence: float
) -> tuple[Interval, float]:
    """Return the confidence interval of mean b minus mean a, and the p-value of Welch's t-test.

    If one group has a single value, assume that both groups have the same variance (Student's
    t-test). If neither group varies, return the interval from -1 to 1 and a p-value of 1. At least
    one group needs two values.

    Source: Welch 1947, The Generalization of 'Student's' Problem.
    """
    if np.ptp(a) == np.ptp(b) == 0:  # the t statistic is not defined
        return Interval(-1.0, 1.0), 1.0
    result = stats.ttest_ind(b, a, equal_var=min(len(a), len(b)) == 1)
    low, high = map(float, result.confidence_interval(confidence))
    return Interval(low, high), float(result.pvalue)
