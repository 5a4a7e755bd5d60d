"""Values are drawn from the space of a sweep."""

from typing import Any

import optuna
import pytest
from ruamel.yaml import YAML

from extras.sweep import space
from extras.sweep.sweep_options import FILE, SweepOptions, Values
from sentiment.errors import UserError
from tests.project import ROOT
from workflow.params import check

SPACE = {
    "train.units": Values(low=8, high=64, step=8),
    "train.learning_rate": Values(low=0.0001, high=0.01, log=True),
    "train.dropout.head": Values(low=0, high=0.5),
    "train.pooling": Values(choices=["last", "max"]),
    "train.bidirectional": Values(choices=[False, True]),
}


def drawn(count: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.draw(study.ask(), SPACE) for _ in range(count)]


def test_values_are_of_the_parameter_s_type_and_within_its_range() -> None:
    found = drawn(50)
    assert {each["train.units"] for each in found} <= set(range(8, 65, 8))
    assert all(type(each["train.units"]) is int for each in found)
    assert all(type(each["train.dropout.head"]) is float for each in found)
    assert all(0.0001 <= each["train.learning_rate"] <= 0.01 for each in found)
    assert {each["train.pooling"] for each in found} == {"last", "max"}
    assert {each["train.bidirectional"] for each in found} == {False, True}


def test_values_are_as_people_write_them() -> None:
    """Three steps of 0.1 are 0.30000000000000004 by themselves."""
    tenths = {"train.dropout.head": Values(low=0.1, high=0.4, step=0.1)}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {str(space.draw(study.ask(), tenths)["train.dropout.head"]) for _ in range(30)}
    assert found == {"0.1", "0.2", "0.3", "0.4"}
    assert space.tidy({"train.learning_rate": 0.001793807724144196, "train.units": 7}) == {
        "train.learning_rate": 0.00179381,
        "train.units": 7,
    }


def test_a_logarithmic_range_is_searched_evenly_in_the_logarithm() -> None:
    rates = [each["train.learning_rate"] for each in drawn(200)]
    assert 60 < sum(rate < 0.001 for rate in rates) < 140


def with_space(values: Any, metric: str = "val_accuracy") -> SweepOptions:
    document = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return check(SweepOptions, document | {"space": values, "metric": metric}, "sweep.yaml")


def test_the_shipped_space_is_allowed(sweep_options: SweepOptions) -> None:
    assert len(sweep_options.space) >= 5


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("train.unit", {"choices": [1]}, "train.unit: unknown"),
        ("train.dropout", {"choices": [1]}, "train.dropout: unknown"),
        ("train.units.x", {"choices": [1]}, "train.units.x: unknown"),
        ("evaluate.threshold", {"low": 0.1, "high": 0.9}, "not one of pad or train"),
        ("train.units", {"choices": [16, 0]}, "train.units: 0 is not allowed"),
        ("train.units", {"choices": []}, "at least 1 item"),
        ("train.units", {"low": 8, "high": 16.5}, "16.5 is not allowed"),
        ("train.units", {"low": 16, "high": 8}, "high 8 must be at least low 16"),
        ("train.units", {"low": 8}, "give either choices, or low and high"),
        ("train.units", {}, "give either choices, or low and high"),
        ("train.units", {"low": 8, "high": 9, "choices": [8]}, "give either choices, or low"),
        ("train.units", {"low": 8, "high": 64, "step": 0}, "greater than 0"),
        ("train.units", {"low": 8, "high": 64, "step": 0.5}, "step 0.5 is no integer"),
        ("train.units", {"low": 8, "hihg": 64}, "Did you mean high?"),
        ("train.units", 8, "A mapping of keys to values is expected"),
        ("train.learning_rate", {"low": 0, "high": 0.1, "log": True}, "log needs a low above 0"),
        ("train.pooling", {"low": 1, "high": 2}, "not a number: give choices"),
        ("train.pooling", {"choices": ["middle"]}, "'middle' is not allowed"),
        ("train.validation_split", {"choices": [0.1, 0.2]}, "changes which reviews validate"),
        ("pad.shuffle_seed", {"choices": [113, 114]}, "changes which reviews validate"),
        ("train.seed", {"low": 1, "high": 9}, "the luckiest seed would win"),
    ],
)
def test_a_space_that_is_not_allowed_is_one_message(name: str, values: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        with_space({name: values})
    assert message in str(raised.value)


def test_an_empty_space_is_not_allowed() -> None:
    with pytest.raises(UserError, match="at least 1 item"):
        with_space({})


def test_smoothed_labels_are_not_searched_by_the_loss_that_they_change() -> None:
    values = {"train.label_smoothing": {"choices": [0.0, 0.1]}}
    assert with_space(values).space.keys() == values.keys()
    with pytest.raises(UserError, match="it changes val_loss itself"):
        with_space(values, metric="val_loss")
