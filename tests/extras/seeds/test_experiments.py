"""Trainings as DVC experiments: their names, seeds and params."""

from pathlib import Path
from typing import Any

import pytest

from extras.seeds import experiments
from sentiment.errors import UserError
from tests.conftest import defaults
from tests.project import SMALL, merged
from workflow.params import Params, check_params
from workflow.runs import identity


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that does not change."""
    monkeypatch.setattr(identity, "code_digests", lambda _: {"train.py": "digest"})


def small(**changes: Any) -> Params:
    return check_params(merged(merged(defaults(), SMALL), changes), "params.yaml")


def named(**changes: Any) -> str:
    """The first experiment under changed params."""
    return experiments.under_seeds(small(**changes), 2)[0].name


def test_seeds_go_up_from_the_one_in_the_params() -> None:
    assert experiments.seeds_of(3, 42) == [42, 43, 44]
    with pytest.raises(UserError, match="must be below 4294967296"):
        experiments.seeds_of(2, 2**32 - 1)


def test_a_name_changes_with_whatever_shapes_the_training_or_its_evaluation() -> None:
    assert named() != named(train={"units": 5})
    assert named() != named(evaluate={"threshold": 0.4})
    assert named() == named(promote={"alpha": 0.01})
    assert named().removesuffix("-42") == named(train={"seed": 7}).removesuffix("-7")


def test_params_that_are_changed_have_the_name_of_params_that_are_so() -> None:
    (first, second) = experiments.under_seeds(small(), 2, {"train.units": 5}, "five units")
    assert first.name == named(train={"units": 5})
    assert first.changes == {"train.units": 5, "train.seed": 42}
    assert second.label == "five units, seed 43"


def test_a_change_that_is_not_allowed_is_one_message() -> None:
    with pytest.raises(UserError, match=r"train\.units: 0 is not allowed"):
        experiments.under_seeds(small(), 2, {"train.units": 0})


def test_without_a_commit_it_is_one_message(in_tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no git repository with a commit"):
        experiments.require_commit()
    assert list(in_tmp_path.iterdir()) == []
