import numpy as np
import pytest

from benchmarks import accuracy
from sentiment.errors import UserError
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


def test_an_ensemble_answers_with_the_mean_of_the_log_odds(default_params: Params) -> None:
    """Each is wrong about another review, where the two others are right and as sure."""
    members = [training(f"wrong about {at}", right(40, at)) for at in (3, 5, 8)]
    found = accuracy.together([side("three", *members)], "three", default_params)
    assert found.accuracy == 1
    assert found.minutes == pytest.approx(3 * 4 / 60)
    assert found.parameters == 30


def test_another_model_beside_a_group_counts_as_much_as_the_group(default_params: Params) -> None:
    """Three that are wrong about 3 have 0.75 for it, which is less than the other's 0.1 against."""
    unsure = [0.75 if at == 3 else p for at, p in enumerate(right(40))]
    group = side("three", *(training(f"t{n}", unsure) for n in range(3)))
    assert accuracy.together([group], "", default_params).accuracy == 39 / 40
    assert accuracy.together([group, SURE], "", default_params).accuracy == 39 / 40  # wrong about 8
    right_there = side("right", training("right", right(40)))
    assert accuracy.together([group, right_there], "", default_params).accuracy == 1


def test_sides_on_other_reviews_or_with_the_same_training_are_refused() -> None:
    other = side("other", training("five", right(40), data__test__sha256="others"))
    with pytest.raises(UserError, match="other test reviews"):
        accuracy.require_the_same_reviews([GROUP, other])
    with pytest.raises(UserError, match="named twice"):
        accuracy.require_the_same_reviews([GROUP, side("one", GROUP.trainings[0])])
    accuracy.require_the_same_reviews([GROUP, SURE])


def test_the_table_has_a_row_for_each_and_those_that_are_averaged(default_params: Params) -> None:
    rows = list(accuracy.rows([GROUP, SURE], SURE, default_params))
    names = ["name group", "name group, ensemble", "name group, ensemble, and name sure"]
    assert [each.name for each in rows] == [*names, "name sure"]
    assert accuracy.table(rows).splitlines()[2].startswith("| name group | 0.9500 | ")
