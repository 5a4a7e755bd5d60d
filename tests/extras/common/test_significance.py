"""Intervals and p-values equal those of textbooks and of other computations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from extras.common import significance
from sentiment.evaluation.metrics import METRICS, Predictions, class_names, wilson_interval
from workflow.registry.promotion import DiscordantPairs, mcnemar_p_value


def correct_predictions(
    both: int, only_a: int, only_b: int, neither: int
) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def test_intervals_of_proportions_equal_published_ones() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873, table II, method 10: 56/70 and 48/80
    result = significance.newcombe_interval((48, 80), (56, 70), 0.95)
    assert result == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # the same volume, 857, table I: 81 of 263 and 1 of 29
    assert wilson_interval(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(1, 29, 0.95) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_only_proportions_of_some_reviews_have_an_interval() -> None:
    precision = METRICS["precision"]
    actual = class_names(np.array([1, 1, 1, 0, 0]))
    table = pd.DataFrame({"actual": actual, "predicted": class_names(np.array([1, 1, 1, 1, 0]))})
    predictions = Predictions(table, 4)
    assert significance.metric_interval(precision, predictions, 0.95) == wilson_interval(3, 4, 0.95)
    never = Predictions(table.assign(predicted="negative"), 4)
    assert significance.metric_interval(precision, never, 0.95) is None
    assert significance.metric_interval(METRICS["f1"], predictions, 0.95) is None


def test_mcnemar_is_the_two_sided_binomial() -> None:
    counts = ((0, 0), (0, 1), (0, 6), (6, 0), (1, 5))
    expected = [1, 1, 2 / 2**6, 2 / 2**6, 14 / 2**6]
    p_values = [mcnemar_p_value(DiscordantPairs(*pair)) for pair in counts]
    assert p_values == pytest.approx(expected)


def test_bootstrap_agrees_with_drawing_the_reviews(rng: np.random.Generator) -> None:
    a, b = correct_predictions(60, 10, 25, 5)
    drawn = rng.integers(0, 100, (20_000, 100))
    differences = b[drawn].mean(axis=1) - a[drawn].mean(axis=1)
    expected = np.quantile(differences, [0.025, 0.975])
    result = significance.paired_bootstrap_interval(a, b, 0.95, 20_000, 0)
    assert result == pytest.approx(expected.tolist(), abs=0.011)


def test_bootstrap_depends_on_its_seed_and_is_zero_for_equal_models() -> None:
    a, b = correct_predictions(600, 100, 250, 51)
    first, again, other = (
        significance.paired_bootstrap_interval(a, b, 0.9, 100, seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert significance.paired_bootstrap_interval(a, a, 0.95, 1000, 0) == (0, 0)


def test_groups_are_compared_by_welch() -> None:
    # by hand: means 2 and 5, variances 1 and 4, three trainings each
    t = 3 / np.sqrt(1 / 3 + 4 / 3)
    freedom = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    ends, p = significance.welch_test(np.array([1.0, 2, 3]), np.array([3.0, 5, 7]), 0.95)
    assert p == pytest.approx(2 * stats.t.sf(t, freedom))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(1 / 3 + 4 / 3)
    assert ends == pytest.approx((3 - half, 3 + half))


def test_groups_that_do_not_vary_show_no_difference() -> None:
    same = np.array([0.8, 0.8])
    assert significance.welch_test(same, same + 0.1, 0.95) == ((-1, 1), 1)


def test_interval_of_a_mean_is_that_of_student() -> None:
    # two degrees of freedom: 4.303 · 0.005 / √3
    low, high = significance.t_interval(np.array([0.97, 0.98, 0.975]), 0.95)
    assert (low, high) == pytest.approx((0.975 - 0.01242, 0.975 + 0.01242), abs=1e-5)
