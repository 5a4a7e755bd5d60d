"""Intervals and p-values equal published ones, or ones that are computed by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from extras.compare.significance import paired_interval, welch_test
from workflow.registry.promotion import DiscordantPairs, mcnemar_p_value


def test_interval_of_a_paired_difference_is_that_of_the_discordant_pairs() -> None:
    # Clopper and Pearson: 5 of 5 have a lower limit of 0.025^(1/5), and 0 of 5 an upper limit of
    # 1 - 0.025^(1/5)
    low = 0.025 ** (1 / 5)
    expected = (5 / 40 * (2 * low - 1), 5 / 40)
    assert paired_interval(DiscordantPairs(0, 5), 40, 0.95) == pytest.approx(expected)
    expected = (-5 / 40, -5 / 40 * (2 * low - 1))
    assert paired_interval(DiscordantPairs(5, 0), 40, 0.95) == pytest.approx(expected)
    assert paired_interval(DiscordantPairs(0, 0), 40, 0.95) == (0, 0)


def test_paired_interval_contains_zero_exactly_if_the_p_value_is_not_below_the_level() -> None:
    for confidence in (0.9, 0.95, 0.99):
        for only_a, only_b in product(range(12), repeat=2):
            pairs = DiscordantPairs(only_a, only_b)
            low, high = paired_interval(pairs, 100, confidence)
            assert (low <= 0 <= high) == (mcnemar_p_value(pairs) >= 1 - confidence), pairs


def test_groups_are_compared_by_welch() -> None:
    # by hand: means 2 and 5, variances 1 and 4, three trainings each
    t = 3 / np.sqrt(1 / 3 + 4 / 3)
    freedom = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    ends, p = welch_test(np.array([1.0, 2, 3]), np.array([3.0, 5, 7]), 0.95)
    assert p == pytest.approx(2 * stats.t.sf(t, freedom))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(1 / 3 + 4 / 3)
    assert ends == pytest.approx((3 - half, 3 + half))


def test_groups_that_do_not_vary_show_no_difference() -> None:
    same = np.array([0.8, 0.8])
    assert welch_test(same, same + 0.1, 0.95) == ((-1, 1), 1)
