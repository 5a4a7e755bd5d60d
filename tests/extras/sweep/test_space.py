"""Values of params are drawn from the space of a sweep."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from ruamel.yaml import YAML

from extras.sweep import space
from extras.sweep.space import CONFIG_FILE, ParamSpace
from sentiment.errors import UserError
from sentiment.params import Params
from tests.project import ROOT

SPACE = {
    "train.units": ParamSpace(low=8, high=64, step=8),
    "train.learning_rate": ParamSpace(low=0.0001, high=0.01, log=True),
    "train.dropout.head": ParamSpace(low=0, high=0.5),
    "train.dropout.input": ParamSpace(low=0.1, high=0.4, step=0.1),
    "train.pooling": ParamSpace(choices=["last", "max"]),
    "train.bidirectional": ParamSpace(choices=[False, True]),
}


def test_values_are_of_the_param_s_type_and_within_its_range() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.draw_values(study.ask(), Params(), SPACE) for _ in range(200)]
    assert {values["train.units"] for values in drawn} == set(range(8, 65, 8))
    assert all(type(values["train.units"]) is int for values in drawn)
    assert all(type(values["train.dropout.head"]) is float for values in drawn)
    assert {values["train.pooling"] for values in drawn} == {"last", "max"}
    assert {values["train.bidirectional"] for values in drawn} == {False, True}
    rates = [values["train.learning_rate"] for values in drawn]
    assert all(0.0001 <= rate <= 0.01 for rate in rates)
    assert 60 < sum(rate < 0.001 for rate in rates) < 140  # even in the logarithm
    # Three steps of 0.1 are 0.30000000000000004 by themselves.
    assert {str(values["train.dropout.input"]) for values in drawn} == {"0.1", "0.2", "0.3", "0.4"}


def test_shipped_space_is_valid() -> None:
    assert space.read_config(Params(), ROOT / CONFIG_FILE).space


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("train.unit", {"choices": [1]}, "train.unit is no param of pad or train"),
        ("fetch.dataset", {"choices": ["imdb"]}, "fetch.dataset is no param of pad or train"),
        ("train.seed", {"low": 1, "high": 9}, "train.seed is no param"),
        ("train.units", {"choices": [16, 0]}, "train.units: 0 is not allowed"),
        ("train.units", {"low": 8, "high": 16.5}, "train.units: 16.5 is not allowed"),
        ("train.units", {"low": 8, "high": 16, "step": 2.5}, "2.5 is not an integer"),
        ("train.units", {"low": 16, "high": 8}, "low=16, high=8"),
        ("train.units", {"low": 8}, "give either choices, or low and high"),
        ("train.units", {"low": 8, "hihg": 64}, "space.train.units.hihg"),
        ("train.pooling", {"low": 1, "high": 2}, "train.pooling: 1 is not allowed"),
    ],
)
def test_space_that_is_not_allowed_is_one_message(
    tmp_path: Path, name: str, values: dict[str, Any], message: str
) -> None:
    path = tmp_path / "sweep.yaml"
    YAML().dump({"best": 1, "seeds": 2, "space": {name: values}}, path)
    with pytest.raises(UserError) as caught:
        space.read_config(Params(), path)
    assert message in str(caught.value)
