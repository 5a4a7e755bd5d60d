"""Confidence intervals equal published ones."""

import numpy as np
import pandas as pd
import pytest

from extras.common.intervals import metric_interval, t_interval
from sentiment.evaluation.metrics import METRICS, Predictions, class_names, wilson_interval


def test_intervals_of_proportions_equal_published_ones() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 857, table I: 81 of 263 and 1 of 29
    assert wilson_interval(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(1, 29, 0.95) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_only_proportions_of_some_reviews_have_an_interval() -> None:
    precision = METRICS["precision"]
    actual = class_names(np.array([1, 1, 1, 0, 0]))
    table = pd.DataFrame({"actual": actual, "predicted": class_names(np.array([1, 1, 1, 1, 0]))})
    predictions = Predictions(table, 4)
    assert metric_interval(precision, predictions, 0.95) == wilson_interval(3, 4, 0.95)
    never = Predictions(table.assign(predicted="negative"), 4)
    assert metric_interval(precision, never, 0.95) is None
    assert metric_interval(METRICS["f1"], predictions, 0.95) is None


def test_interval_of_a_mean_is_that_of_student() -> None:
    # two degrees of freedom: 4.303 · 0.005 / √3
    low, high = t_interval(np.array([0.97, 0.98, 0.975]), 0.95)
    assert (low, high) == pytest.approx((0.975 - 0.01242, 0.975 + 0.01242), abs=1e-5)
