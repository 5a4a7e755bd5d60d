"""Intervals equal their formulas, and the metrics of resamples equal scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from sentiment.evaluation import intervals


def test_wilson_interval_equals_its_formula() -> None:
    """Solve |p - x| = z * sqrt(p * (1 - p) / n) for p, with x = 6 / 8 and z of 95%."""
    interval = intervals.wilson_interval(6, 8, 0.95)
    z = 1.959963984540054
    for p in interval:
        assert abs(p - 6 / 8) == pytest.approx(z * np.sqrt(p * (1 - p) / 8))
    assert interval.low < 6 / 8 < interval.high
    assert intervals.wilson_interval(8, 8, 0.95).high == 1


def test_kinds_are_the_different_rows_in_order_and_their_numbers() -> None:
    table = pd.DataFrame({"actual": [*"yxyy"], "predicted": [*"xxxy"]})
    kinds, counts = intervals.count_kinds(table)
    assert kinds.to_numpy().tolist() == [["x", "x"], ["y", "x"], ["y", "y"]]
    assert counts.tolist() == [1, 2, 1]


def test_the_metrics_of_resamples_equal_those_of_scikit_learn() -> None:
    """A label that is absent from a resample has F1 0 and recall 0."""
    actual = pd.Series([*"xxyyz"], dtype=object)
    predicted = pd.Series([*"xyyzz"], dtype=object)
    samples = [[0, 0, 1, 4], [0, 0, 2, 3], [2, 2, 2, 2]]  # without y, z, and both
    counts = np.array([np.bincount(sample, minlength=5) for sample in samples], np.float64)
    accuracies = intervals.accuracy_by_kind(actual, predicted)(counts)
    f1s = intervals.f1_by_kind(actual, predicted, [*"xyz"])(counts)
    recalls = intervals.balanced_accuracy_by_kind(actual, predicted)(counts)
    for sample, accuracy, f1, recall in zip(samples, accuracies, f1s, recalls, strict=True):
        drawn = (actual[sample], predicted[sample])
        means = {"labels": [*"xyz"], "average": "macro", "zero_division": 0}
        assert accuracy == accuracy_score(*drawn)
        assert f1 == pytest.approx(f1_score(*drawn, **means))
        assert recall == pytest.approx(recall_score(*drawn, **means))


def test_the_same_counts_have_the_same_resamples_in_batches_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = np.array([60.0, 25.0, 15.0])
    whole = intervals.resample(counts, lambda sample: sample[:, 0])
    assert whole.shape == (intervals.RESAMPLES,)
    monkeypatch.setattr(intervals, "BATCH_VALUES", 3_000)
    batches = intervals.resample(counts, lambda sample: sample[:, 0])
    np.testing.assert_array_equal(batches, whole)


def test_resamples_have_all_texts_and_the_variance_of_drawing_with_replacement() -> None:
    counts = np.array([60.0, 40.0])
    assert set(intervals.resample(counts, lambda sample: sample.sum(axis=1))) == {100.0}
    firsts = intervals.resample(counts, lambda sample: sample[:, 0])
    assert firsts.mean() == pytest.approx(60, abs=0.3)
    assert firsts.var() == pytest.approx(100 * 0.6 * 0.4, rel=0.05)


def test_values_that_are_all_the_same_have_no_interval() -> None:
    assert intervals.percentile_interval(np.zeros(10), 0.95) is None
    interval = intervals.percentile_interval(np.arange(101.0), 0.9)
    assert interval == pytest.approx((5, 95))
