"""The summary of several seeds."""

import numpy as np
import pytest

from extras.seeds.group import summarize


def test_summary_has_mean_standard_deviation_and_t_interval_of_each_test_metric() -> None:
    summary = summarize(
        [{"test_accuracy": accuracy, "val_accuracy": 0.5} for accuracy in (0.79, 0.80, 0.81)]
    )
    assert summary.index.tolist() == ["test_accuracy"]
    # Student's table: 4.303 for two degrees of freedom
    half = 4.303 * 0.01 / np.sqrt(3)
    expected = [0.80, 0.01, 0.80 - half, 0.80 + half]
    assert list(summary.loc["test_accuracy"]) == pytest.approx(expected, abs=1e-5)


def test_equal_metrics_have_an_interval_of_no_width() -> None:
    summary = summarize([{"test_accuracy": 0.5}, {"test_accuracy": 0.5}])
    assert list(summary.loc["test_accuracy"]) == [0.5, 0, 0.5, 0.5]


def test_metric_that_a_seed_lacks_is_left_out() -> None:
    summary = summarize([{"test_accuracy": 0.5, "test_f1": 0.5}, {"test_accuracy": 0.5}])
    assert summary.index.tolist() == ["test_accuracy"]
