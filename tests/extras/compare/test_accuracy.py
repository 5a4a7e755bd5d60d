import numpy as np
import pytest

from benchmarks import accuracy
from sentiment.errors import UserError
from tests.extras.compare.test_comparison import right, side, training

GROUP = side("group", training("one", right(40, 3)), training("two", right(40, 3, 5, 7)))
SURE = side("sure", training("three", right(40, 8)))


def test_a_group_has_the_interval_of_its_mean_and_a_single_training_wilson_s() -> None:
    group, single = (accuracy.row(runs, 5, 0.95) for runs in (GROUP, SURE))
    assert group.accuracy == pytest.approx((39 / 40 + 37 / 40) / 2)
    assert group.deviation == pytest.approx(np.std([39 / 40, 37 / 40], ddof=1))
    assert group.interval.low < group.accuracy < group.interval.high
    assert group.reach == 1
    assert group.minutes == pytest.approx(4 / 60)
    assert single.deviation is None
    assert single.interval == pytest.approx((0.871, 0.996), abs=1e-3)
    _, _, *lines = accuracy.table([group, single]).splitlines()
    cells = [line.split(" | ")[:2] for line in lines]
    assert cells == [["| name group", "0.9500"], ["| name sure", "0.9750"]]


def test_groups_on_other_reviews_are_refused() -> None:
    other = side("other", training("five", right(40), data__test__sha256="others"))
    with pytest.raises(UserError, match="other test reviews"):
        accuracy.require_the_same_reviews([GROUP, other])
    accuracy.require_the_same_reviews([GROUP, SURE])
