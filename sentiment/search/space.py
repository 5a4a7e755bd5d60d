"""Values of parameters, drawn by Optuna from the space of `params.yaml`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sentiment.params import Values, parameter

if TYPE_CHECKING:
    import optuna


def draw(trial: "optuna.Trial", space: Mapping[str, Values]) -> dict[str, Any]:
    """A value for each parameter of the space, by its dotted name."""
    return {name: _value(trial, name, values) for name, values in space.items()}


def _value(trial: "optuna.Trial", name: str, values: Values) -> Any:
    if values.choices is not None:
        return trial.suggest_categorical(name, values.choices)
    info = parameter(name)
    assert info is not None  # params.yaml is checked
    assert values.low is not None
    assert values.high is not None
    low, high, step = values.low, values.high, values.step
    if info.annotation is int:
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=values.log)
    return trial.suggest_float(name, float(low), float(high), step=step, log=values.log)
