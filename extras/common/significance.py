"""Whether a difference is more than chance: intervals and tests, from SciPy."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import Metric, Predictions
from workflow.registry.promotion import count_discordant_pairs

CONFIDENCE = 0.95  # level of the intervals of a single model


class Interval(NamedTuple):
    low: float
    high: float


def metric_interval(metric: Metric, predictions: Predictions, confidence: float) -> Interval | None:
    """Wilson's interval; None where the metric is no share, or one of nothing."""
    correct, reviews = metric.proportion(predictions) if metric.proportion else (0, 0)
    return wilson_interval(correct, reviews, confidence) if reviews else None


def wilson_interval(correct: int, reviews: int, confidence: float) -> Interval:
    """The interval of an accuracy. Source: Wilson 1927, Probable Inference."""
    ends = stats.binomtest(correct, reviews).proportion_ci(confidence, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def newcombe_interval(a: tuple[int, int], b: tuple[int, int], confidence: float) -> Interval:
    """The interval of share b less share a, of two samples that have nothing in common.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions
    (method 10), from Wilson's intervals; `a` and `b` are how many of how many.
    """
    (p_a, low_a, high_a), (p_b, low_b, high_b) = (
        (correct / reviews, *wilson_interval(correct, reviews, confidence))
        for correct, reviews in (a, b)
    )
    return Interval(
        p_b - p_a - math.hypot(p_b - low_b, high_a - p_a),
        p_b - p_a + math.hypot(high_b - p_b, p_a - low_a),
    )


def paired_bootstrap_interval(
    a: NDArray[np.bool_], b: NDArray[np.bool_], confidence: float, samples: int, seed: int
) -> Interval:
    """The percentile interval of accuracy b less accuracy a, drawing reviews with both answers.

    A resample's difference follows from how many reviews of each kind it has: only a correct, only
    b correct, the rest. Those counts are multinomial, so that they are drawn and not the reviews.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap.
    """
    counts = np.array([*count_discordant_pairs(a, b), 0])
    counts[2] = len(a) - counts.sum()
    drawn = np.random.default_rng(seed).multinomial(len(a), counts / len(a), samples)
    differences = (drawn[:, 1] - drawn[:, 0]) / len(a)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(float(low), float(high))


def t_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """The interval of a mean, by Student's t; two values at least.

    Source: Student 1908, The probable error of a mean.
    """
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean() - half), float(values.mean() + half))


def welch_test(
    a: NDArray[np.float64], b: NDArray[np.float64], confidence: float
) -> tuple[Interval, float]:
    """The interval of mean b less mean a, and the p of there being no difference.

    Of two groups of trainings, of which one has two at least, by Welch's t-test; where one group
    is a single training, its spread is taken to be the other's, as Student's does. Where neither
    group has a spread p is 1, and the interval all there is.

    Source: Welch 1947, The generalization of Student's problem.
    """
    if np.ptp(a) == np.ptp(b) == 0:  # the t statistic is not defined
        return Interval(-1.0, 1.0), 1.0
    result = stats.ttest_ind(b, a, equal_var=min(len(a), len(b)) == 1)
    low, high = map(float, result.confidence_interval(confidence))
    return Interval(low, high), float(result.pvalue)
