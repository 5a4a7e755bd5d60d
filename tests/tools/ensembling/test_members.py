"""Which models make an ensemble, and how much each counts."""

import pytest

from sentiment.errors import UserError
from tests.tools.comparing.test_comparison import right, side, training
from tools.ensembling import members
from tools.ensembling.members import choose

GROUP = side("group", training("one", right(4)), training("two", right(4)))


def test_each_side_counts_as_much_and_its_trainings_share() -> None:
    chosen = choose([GROUP, side("three", training("three", right(4)))])
    weights = {each.training.run_id: each.weight for each in chosen}
    assert weights == {"one": 0.25, "two": 0.25, "three": 0.5}


def test_a_group_alone_is_an_ensemble_and_a_training_alone_is_none() -> None:
    assert [each.weight for each in choose([GROUP])] == [0.5, 0.5]
    with pytest.raises(UserError, match="needs two models or more"):
        choose([side("one", training("one", right(4)))])


def test_a_training_counts_once() -> None:
    with pytest.raises(UserError, match="named twice"):
        choose([GROUP, side("one", GROUP.trainings[0])])


@pytest.mark.parametrize(
    "changed", [{"data__test__sha256": "others"}, {"fetch__dataset": "synthetic"}]
)
def test_models_of_other_data_are_refused(changed: dict[str, str]) -> None:
    other = side("other", training("other", right(4), **changed))
    with pytest.raises(UserError, match=r"name one and name other differ in .*the same data"):
        choose([GROUP, other])


def test_models_of_other_params_go_together() -> None:
    assert len(choose([GROUP, side("other", training("other", right(4), train__units=8))])) == 3


def test_an_ensemble_is_no_member() -> None:
    joined = training("joined", right(4), **{members.RUNS: "one × 0.5"})
    with pytest.raises(UserError, match="name joined is an ensemble itself"):
        choose([GROUP, side("joined", joined)])
