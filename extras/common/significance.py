"""Compute confidence intervals and p-values, with SciPy."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import Interval, Metric, Predictions, wilson_interval
from workflow.registry.promotion import count_discordant_pairs

CONFIDENCE = 0.95  # level of the intervals of a single model


def metric_interval(metric: Metric, predictions: Predictions, confidence: float) -> Interval | None:
    """Return Wilson's interval of a metric, or None if it is not a proportion or has no reviews."""
    correct, reviews = metric.proportion(predictions) if metric.proportion else (0, 0)
    return wilson_interval(correct, reviews, confidence) if reviews else None


def newcombe_interval(a: tuple[int, int], b: tuple[int, int], confidence: float) -> Interval:
    """Return the confidence interval of proportion b minus proportion a of independent samples.

    Source: Newcombe 1998, Interval Estimation for the Difference Between Independent Proportions
    (method 10).

    Args:
        a: successes and trials.
        b: the same of the other sample.
        confidence: level of the interval.
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
    """Return the percentile interval of accuracy b minus accuracy a on the same reviews.

    The difference on a resample depends only on its numbers of discordant pairs of both kinds.
    These numbers have a multinomial distribution, so they are drawn instead of reviews.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap.

    Args:
        a: whether model a is right, shape (reviews,).
        b: whether model b is right, shape (reviews,).
        confidence: level of the interval.
        samples: number of resamples.
        seed: seed of the random numbers.
    """
    counts = np.array([*count_discordant_pairs(a, b), 0])
    counts[2] = len(a) - counts.sum()
    drawn = np.random.default_rng(seed).multinomial(len(a), counts / len(a), samples)
    differences = (drawn[:, 1] - drawn[:, 0]) / len(a)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(float(low), float(high))


def t_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Return the confidence interval of the mean of at least two values.

    Source: Student 1908, The Probable Error of a Mean.
    """
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean() - half), float(values.mean() + half))


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
