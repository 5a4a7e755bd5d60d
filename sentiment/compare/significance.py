"""Statistics of test accuracies: of two models, of several seeds, and of two groups of seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import CONFIDENCE, Interval
from sentiment.tracking.promotion import count_discordant_pairs, mcnemar_p_value


class AccuracyDifference(NamedTuple):
    """The difference of two accuracies.

    Attributes:
        value: accuracy of B minus accuracy of A.
        p_value: p-value of the test that they are equal.
    """

    value: float
    interval: Interval
    p_value: float


def compare_models(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> AccuracyDifference:
    """Compare two models by McNemar's exact test.

    Given their number, the discordant pairs that only B gets right have a binomial distribution.
    Its exact interval contains one half, where A and B are equally accurate, if and only if the
    test does not reject that they are.

    Source: Clopper and Pearson 1934, The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial.

    Args:
        a: whether A gets each review right, shape (reviews,).
        b: the same of B, for the same reviews.
    """
    pairs = count_discordant_pairs(a, b)
    discordant = pairs.only_first + pairs.only_second
    value = (pairs.only_second - pairs.only_first) / len(a)
    if not discordant:
        return AccuracyDifference(value, Interval(0.0, 0.0), mcnemar_p_value(pairs))
    share = stats.binomtest(pairs.only_second, discordant).proportion_ci(CONFIDENCE, "exact")
    low, high = ((2 * float(end) - 1) * discordant / len(a) for end in (share.low, share.high))
    return AccuracyDifference(value, Interval(low, high), mcnemar_p_value(pairs))


def compare_seeds(a: Sequence[float], b: Sequence[float]) -> AccuracyDifference | None:
    """Compare the mean accuracies of two groups of seeds by Welch's test.

    Source: Welch 1947, The Generalization of 'Student's' Problem.

    Args:
        a: accuracy of each seed of A, of which there are at least two.
        b: the same of B.

    Returns:
        The difference of the means. None: neither group varies, so the test is not defined.
    """
    if np.ptp(a) == np.ptp(b) == 0:
        return None
    result = stats.ttest_ind(b, a, equal_var=False)
    low, high = result.confidence_interval(CONFIDENCE)
    value = float(np.mean(b) - np.mean(a))
    return AccuracyDifference(value, Interval(float(low), float(high)), float(result.pvalue))


def mean_interval(accuracies: Sequence[float]) -> Interval:
    """Return Student's confidence interval of the mean of at least two accuracies."""
    mean = float(np.mean(accuracies))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(accuracies) - 1)
    half = float(quantile * stats.sem(accuracies))
    return Interval(mean - half, mean + half)
