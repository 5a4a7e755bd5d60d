import numpy as np
import pytest

from benchmarks import accuracy
from sentiment.errors import UserError
from tests.extras.compare.test_comparison import right, side, training

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


def test_groups_on_other_reviews_are_refused() -> None:
    other = side("other", training("five", right(40), data__test__sha256="others"))
    with pytest.raises(UserError, match="other test reviews"):
        accuracy.require_the_same_reviews([GROUP, other])
    accuracy.require_the_same_reviews([GROUP, SURE])


def test_the_table_has_a_row_for_each() -> None:
    rows = [accuracy.row(each, 5, 0.95) for each in (GROUP, SURE)]
    lines = accuracy.table(rows).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| name group", "| name sure"]
    assert lines[0].startswith("| name group | 0.9500 | ")
