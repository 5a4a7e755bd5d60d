"""Values are drawn from the space, checked before anything is trained, and written into params."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from sentiment.errors import UserError
from sentiment.params import Params
from sentiment.sweep import space, values


def test_every_value_of_the_space_is_allowed() -> None:
    fixed = values.fixed_params(Params())
    assert fixed["train.seed"] == 42
    assert "train.learning_rate" not in fixed


def draw_conditionally(trial: optuna.Trial) -> dict[str, Any]:
    drawn = {"train.architecture": trial.suggest_categorical("architecture", ["linear"])}
    if drawn["train.architecture"] == "linear":
        drawn["train.linear.ngrams"] = 2 ** trial.suggest_int("power", 0, 1)
    return drawn


def test_values_of_an_earlier_trial_are_those_that_it_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "draw", draw_conditionally)
    study = optuna.create_study()
    study.optimize(lambda trial: values.draw_values(trial)["train.linear.ngrams"], n_trials=1)
    (trial,) = study.trials
    assert values.draw_values(trial) == {
        "train.architecture": "linear",
        "train.linear.ngrams": trial.value,
    }


def test_numbers_are_rounded_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "draw", lambda _: {"train.dropout.head": 3 * 0.1})
    assert values.draw_values(optuna.create_study().ask()) == {"train.dropout.head": 0.3}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda trial: {"train.dropout.head": trial.suggest_float("head", 0.0, 1.1)},
            r"train\.dropout\.head: 1\.\d+ is not allowed. Input should be less than 1",
        ),
        (lambda _: {"train.unit": 8}, "train.unit is no param of pad or train"),
        (lambda _: {"train.seed": 1}, "train.seed is no param of pad or train that can be"),
        (lambda trial: {"train.units": trial.suggest_int("units", 9, 8)}, "low <= high"),
        (
            lambda _: {"train.architecture": "linear", "train.units": 8},
            r"the architecture linear does not read train\.units",
        ),
    ],
)
def test_space_that_is_not_allowed_is_one_message(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[optuna.Trial], dict[str, Any]], message: str
) -> None:
    monkeypatch.setattr(space, "draw", draw)
    with pytest.raises(UserError, match=rf"(?s)sentiment/sweep/space.py is not valid:.*{message}"):
        values.fixed_params(Params())
