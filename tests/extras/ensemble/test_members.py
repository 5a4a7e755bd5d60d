"""Members of an ensemble are runs of the same reviews, of whatever architecture."""

import pandas as pd
import pytest

from extras.common.evaluated_runs import EvaluatedRun, RunGroup
from extras.ensemble.members import choose_members
from sentiment.errors import UserError


def group(*run_ids: str, **changes: str | int) -> RunGroup:
    """Return a group of trainings with the same reviews, apart from the changes.

    Args:
        run_ids: of the trainings.
        changes: changed params. `x__y` stands for `x.y`.
    """
    params: dict[str, str | int] = {
        "fetch.dataset": "imdb",
        "pad.max_length": 200,
        "train.architecture": "recurrent",
        "data.test.sha256": "reviews",
    }
    params |= {name.replace("__", "."): value for name, value in changes.items()}
    trainings = [
        EvaluatedRun(
            run_id=run_id,
            name=f"name {run_id}",
            params={**params, "train.seed": seed},
            predictions=pd.DataFrame(),
            cost={},
        )
        for seed, run_id in enumerate(run_ids)
    ]
    return RunGroup("group", "group", "group", trainings)


def weights(*groups: RunGroup) -> dict[str, float]:
    return {member.training.run_id: member.weight for member in choose_members(groups)}


def test_seeds_of_a_group_share_its_weight() -> None:
    assert weights(group("one", "two")) == {"one": 0.5, "two": 0.5}
    assert weights(group("one", "two"), group("three")) == {"one": 0.25, "two": 0.25, "three": 0.5}


@pytest.mark.parametrize(
    "changes",
    [
        {"train__architecture": "transformer"},
        {"train__cell": "gru"},
        {"pad__max_length": 400, "pad__num_words": 20_000},
        {"train__validation_split": "0.1"},
    ],
)
def test_members_may_have_other_architectures_and_lengths(changes: dict[str, str | int]) -> None:
    assert weights(group("one"), group("two", **changes)) == {"one": 0.5, "two": 0.5}


@pytest.mark.parametrize("name", ["data__test__sha256", "fetch__dataset"])
def test_other_reviews_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"name one and name other differ in .* the same reviews"):
        choose_members([group("one", "two"), group("other", **{name: "others"})])


def test_single_run_repeated_run_and_ensemble_are_refused() -> None:
    with pytest.raises(UserError, match="needs at least two models"):
        choose_members([group("one")])
    with pytest.raises(UserError, match="is named twice"):
        choose_members([group("one", "two"), group("one")])
    with pytest.raises(UserError, match="name both is an ensemble itself"):
        choose_members([group("one"), group("both", ensemble__runs="one, two")])
