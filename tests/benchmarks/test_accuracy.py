import numpy as np
import pytest

from benchmarks import accuracy
from sentiment.params import Params
from tests.tools.comparing.test_comparison import right, side, training

GROUP = side("group", training("one", right(40, 3)), training("two", right(40, 3, 5, 7)))
SURE = side("sure", training("three", right(40, 8)))


def test_a_group_has_mean_deviation_and_the_interval_of_its_mean() -> None:
    found = accuracy.row(GROUP, 5, 0.95)
    assert found.accuracy == pytest.approx((39 / 40 + 37 / 40) / 2)
    assert found.deviation == pytest.approx(np.std([39 / 40, 37 / 40], ddof=1))
    assert found.interval.low < found.accuracy < found.interval.high
    assert found.reach == 1
    assert found.minutes == pytest.approx(4 / 60)


def test_a_single_training_has_wilson_s_interval_and_no_deviation() -> None:
    found = accuracy.row(SURE, 5, 0.95)
    assert found.deviation is None
    assert found.interval.low == pytest.approx(0.871, abs=1e-3)
    assert found.interval.high == pytest.approx(0.996, abs=1e-3)


def test_averaged_answers_are_right_where_most_of_the_log_odds_are(default_params: Params) -> None:
    """Both are wrong about review 3; about 5 and 7 they are even, which is not above one half."""
    found = accuracy.together([GROUP], "both", default_params)
    assert found.accuracy == pytest.approx(39 / 40)
    assert found.minutes == pytest.approx(2 * 4 / 60)
    assert found.parameters == 20


def test_another_model_beside_a_group_counts_as_much_as_the_group(default_params: Params) -> None:
    doubtful = side("doubtful", training("four", [0.6 if p > 0.5 else 0.4 for p in right(40, 9)]))
    found = accuracy.together([doubtful, SURE], "both", default_params)
    assert found.accuracy == pytest.approx(39 / 40)  # wrong about 8 alone


def test_the_table_has_a_row_for_each_and_those_that_are_averaged(default_params: Params) -> None:
    rows = list(accuracy.rows([GROUP, SURE], SURE, default_params))
    names = ["name group", "name group, averaged", "name group, averaged, and name sure"]
    assert [each.name for each in rows] == [*names, "name sure"]
    assert accuracy.table(rows).splitlines()[2].startswith("| name group | 0.9500 | ")
