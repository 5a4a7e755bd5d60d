"""Draw values of params from the space of a sweep, by Optuna."""

from collections.abc import Mapping
from typing import Any

import optuna

from extras.sweep.config import ParamSpace
from workflow.params_file import find_field

SIGNIFICANT_DIGITS = 6


def draw_values(trial: optuna.Trial, space: Mapping[str, ParamSpace]) -> dict[str, Any]:
    """Return a value for each param of the space, by its dotted name."""
    return round_values({name: _draw_value(trial, name, values) for name, values in space.items()})


def round_values(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Round drawn numbers as people write them: three steps of 0.1 are 0.3."""
    return {
        name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
        for name, value in drawn.items()
    }


def _draw_value(trial: optuna.Trial, name: str, values: ParamSpace) -> Any:
    if values.choices is not None:
        return trial.suggest_categorical(name, values.choices)
    field = find_field(name)
    if field and field.annotation is int:
        step = int(values.step or 1)
        return trial.suggest_int(name, values.low, values.high, step=step, log=values.log)
    return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def format_values(values: Mapping[str, Any]) -> str:
    """Return values as one line for a reader."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
