"""Statistics of accuracies, against numbers that were computed by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from sentiment.compare.significance import compare_models, compare_seeds, mean_interval
from sentiment.evaluation.metrics import CONFIDENCE


def test_models_are_compared_by_their_discordant_pairs() -> None:
    a = np.array([False] * 12 + [True] * 28)
    b = np.array([True] * 39 + [False])
    difference = compare_models(a, b)
    assert difference.value == pytest.approx(11 / 40)
    assert difference.p_value == pytest.approx(2 * (1 + 13) / 2**13)


def test_the_interval_of_two_models_is_that_of_clopper_and_pearson() -> None:
    a = np.array([False] * 5 + [True] * 35)
    # 5 of 5 have a lower limit of 0.025^(1/5)
    low = (2 * 0.025 ** (1 / 5) - 1) * 5 / 40
    assert compare_models(a, np.ones(40, bool)).interval == pytest.approx((low, 5 / 40))
    assert compare_models(a, a).interval == (0, 0)


def test_the_interval_of_two_models_has_zero_exactly_if_the_test_does_not_reject_it() -> None:
    for only_a, only_b in product(range(12), repeat=2):
        a = np.arange(30) < only_a
        b = np.arange(30) >= 30 - only_b
        difference = compare_models(a, b)
        low, high = difference.interval
        assert (low <= 0 <= high) == (difference.p_value >= 1 - CONFIDENCE), (only_a, only_b)


def test_groups_of_seeds_are_compared_by_welchs_test() -> None:
    difference = compare_seeds([0.1, 0.2, 0.3], [0.3, 0.5, 0.7])
    assert difference is not None
    # variances 0.01 and 0.04, three seeds each
    error = np.sqrt(0.01 / 3 + 0.04 / 3)
    freedom = (0.01 / 3 + 0.04 / 3) ** 2 / ((0.01 / 3) ** 2 / 2 + (0.04 / 3) ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * error
    assert difference.value == pytest.approx(0.3)
    assert difference.interval == pytest.approx((0.3 - half, 0.3 + half))
    assert difference.p_value == pytest.approx(2 * stats.t.sf(0.3 / error, freedom))


def test_groups_of_seeds_that_do_not_vary_are_not_compared() -> None:
    assert compare_seeds([0.8, 0.8], [0.9, 0.9]) is None


@pytest.mark.parametrize(
    ("accuracies", "half"),
    # Student's table: 4.303 for two degrees of freedom
    [([0.79, 0.80, 0.81], 4.303 * 0.01 / np.sqrt(3)), ([0.80, 0.80], 0)],
)
def test_the_interval_of_a_mean_is_students(accuracies: list[float], half: float) -> None:
    assert mean_interval(accuracies) == pytest.approx((0.8 - half, 0.8 + half), abs=1e-5)
