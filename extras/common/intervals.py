"""Compute confidence intervals."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import Interval, Metric, Predictions, wilson_interval

CONFIDENCE = 0.95  # level of the intervals of a single model


def metric_interval(metric: Metric, predictions: Predictions, confidence: float) -> Interval | None:
    """Return Wilson's interval of a metric, or None if it is not a proportion or has no reviews."""
    correct, reviews = metric.proportion(predictions) if metric.proportion else (0, 0)
    return wilson_interval(correct, reviews, confidence) if reviews else None


def t_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Return the confidence interval of the mean of at least two values.

    Source: Student 1908, The Probable Error of a Mean.
    """
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean() - half), float(values.mean() + half))
