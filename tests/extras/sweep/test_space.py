"""ParamSpace are drawn from the space of a sweep."""

import re
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from ruamel.yaml import YAML

from extras.sweep import space
from extras.sweep.config import CONFIG_FILE, ParamSpace, SweepConfig
from sentiment.errors import UserError
from tests.project import ROOT
from workflow.params import validate

SPACE = {
    "train.units": ParamSpace(low=8, high=64, step=8),
    "train.learning_rate": ParamSpace(low=0.0001, high=0.01, log=True),
    "train.dropout.head": ParamSpace(low=0, high=0.5),
    "train.pooling": ParamSpace(choices=["last", "max"]),
    "train.bidirectional": ParamSpace(choices=[False, True]),
}


def drawn(count: int, values: Mapping[str, ParamSpace]) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.draw_values(study.ask(), values) for _ in range(count)]


def test_values_are_of_the_parameter_s_type_and_within_its_range() -> None:
    """The values of a logarithmic range are distributed evenly in the logarithm."""
    trials = drawn(200, SPACE)
    assert {values["train.units"] for values in trials} == set(range(8, 65, 8))
    assert all(type(values["train.units"]) is int for values in trials)
    assert all(type(values["train.dropout.head"]) is float for values in trials)
    assert {values["train.pooling"] for values in trials} == {"last", "max"}
    assert {values["train.bidirectional"] for values in trials} == {False, True}
    rates = [values["train.learning_rate"] for values in trials]
    assert all(0.0001 <= rate <= 0.01 for rate in rates)
    assert 60 < sum(rate < 0.001 for rate in rates) < 140


def test_values_are_as_people_write_them() -> None:
    """Three steps of 0.1 are 0.30000000000000004 by themselves."""
    tenths = {"train.dropout.head": ParamSpace(low=0.1, high=0.4, step=0.1)}
    texts = {str(values["train.dropout.head"]) for values in drawn(30, tenths)}
    assert texts == {"0.1", "0.2", "0.3", "0.4"}
    assert space.round_values({"train.learning_rate": 0.001793807724144196, "train.units": 7}) == {
        "train.learning_rate": 0.00179381,
        "train.units": 7,
    }


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("train.unit", {"choices": [1]}, "train.unit: not a tunable param of pad or train"),
        ("train.units", {"choices": [16, 0]}, "train.units: 0 is not allowed"),
        ("", None, "at least 1 item"),
        ("train.units", {"low": 8, "high": 16.5}, "16.5 is not allowed"),
        ("train.units", {"low": 8}, "give either choices, or low and high"),
        ("train.units", {"low": 8, "hihg": 64}, "Did you mean high?"),
        ("train.pooling", {"low": 1, "high": 2}, "not a number: give choices"),
        ("train.seed", {"low": 1, "high": 9}, "train.seed: not a tunable param"),
    ],
)
def test_a_space_that_is_not_allowed_is_one_message(name: str, values: Any, message: str) -> None:
    document = YAML(typ="safe", pure=True).load(ROOT / CONFIG_FILE)
    document["space"] = {name: values} if name else {}
    with pytest.raises(UserError, match=re.escape(message)):
        validate(SweepConfig, document, "sweep.yaml")


def test_smoothed_labels_are_not_searched_by_the_loss_that_they_change() -> None:
    document = YAML(typ="safe", pure=True).load(ROOT / CONFIG_FILE)
    document["space"] = {"train.label_smoothing": {"choices": [0.0, 0.1]}}
    assert validate(SweepConfig, {**document, "metric": "val_accuracy"}, "sweep.yaml")
    with pytest.raises(UserError, match="it changes val_loss"):
        validate(SweepConfig, {**document, "metric": "val_loss"}, "sweep.yaml")
