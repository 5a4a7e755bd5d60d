"""Values of parameters, drawn by Optuna from the space of a sweep."""

from collections.abc import Mapping
from typing import Any

import optuna

from extras.sweep.sweep_options import Values
from workflow.params_file import find_field

DIGITS = 6  # significant ones of a number


def draw(trial: optuna.Trial, space: Mapping[str, Values]) -> dict[str, Any]:
    """A value for each parameter of the space, by its dotted name."""
    return tidy({name: _value(trial, name, values) for name, values in space.items()})


def tidy(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Values that Optuna drew, numbers rounded: three steps of 0.1 are 0.3, as people write it."""
    return {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in drawn.items()
    }


def _value(trial: optuna.Trial, name: str, values: Values) -> Any:
    if values.choices is not None:
        return trial.suggest_categorical(name, values.choices)
    field = find_field(name)
    ends = (values.low, values.high)
    if field and field.annotation is int:
        return trial.suggest_int(name, *ends, step=int(values.step or 1), log=values.log)
    return trial.suggest_float(name, *ends, step=values.step, log=values.log)


def as_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
