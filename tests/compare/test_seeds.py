"""Statistics of accuracies, against numbers that were computed by hand."""

import numpy as np
import pytest
from scipy import stats

from sentiment.compare.seeds import difference_interval, mean_interval


def test_the_interval_of_the_difference_of_two_means_is_welchs() -> None:
    interval = difference_interval([0.1, 0.2, 0.3], [0.3, 0.5, 0.7])
    # variances 0.01 and 0.04, three seeds each
    error = np.sqrt(0.01 / 3 + 0.04 / 3)
    freedom = (0.01 / 3 + 0.04 / 3) ** 2 / ((0.01 / 3) ** 2 / 2 + (0.04 / 3) ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * error
    assert interval == pytest.approx((0.3 - half, 0.3 + half))


def test_groups_of_seeds_that_do_not_vary_have_no_interval() -> None:
    assert difference_interval([0.8, 0.8], [0.9, 0.9]) is None


@pytest.mark.parametrize(
    ("accuracies", "half"),
    # Student's table: 4.303 for two degrees of freedom
    [([0.79, 0.80, 0.81], 4.303 * 0.01 / np.sqrt(3)), ([0.80, 0.80], 0)],
)
def test_the_interval_of_a_mean_is_students(accuracies: list[float], half: float) -> None:
    assert mean_interval(accuracies) == pytest.approx((0.8 - half, 0.8 + half), abs=1e-5)
