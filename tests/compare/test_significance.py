"""Statistics of accuracies, against numbers that were computed by hand."""

import numpy as np
import pytest
from scipy import stats

from sentiment.compare.significance import compare_seeds, mean_interval


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
