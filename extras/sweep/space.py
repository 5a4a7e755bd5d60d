"""The space of a sweep: sweep.yaml, and the values that Optuna draws from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import optuna
from pydantic import Field, ValidationError, model_validator

from sentiment.errors import UserError
from sentiment.params import Params, Section, flatten
from workflow.params_file import parse_params, read_yaml

CONFIG_FILE = Path("extras", "sweep", "sweep.yaml")
# The first would change the validation reviews, and the second would only find a lucky seed.
NOT_SEARCHED = ("train.validation_split", "train.seed")
SIGNIFICANT_DIGITS = 6
optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
Value = bool | int | float | str


class ParamSpace(Section):
    """The values of a param to search: `choices`, or the numbers from `low` to `high`."""

    choices: Annotated[list[Value], Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _require_choices_or_range(self) -> Self:
        is_range = self.choices is None
        if is_range == (self.low is None) or is_range == (self.high is None):
            raise ValueError("give either choices, or low and high")
        return self


class SweepConfig(Section):
    """The content of `sweep.yaml`."""

    best: Annotated[int, Field(ge=1, le=100)]
    seeds: Annotated[int, Field(ge=2, le=100)]
    space: Annotated[dict[str, ParamSpace], Field(min_length=1)]


def read_config(params: Params, path: Path = CONFIG_FILE) -> SweepConfig:
    """Read `sweep.yaml`, and check each value that it names against the limits of its param.

    Raises:
        UserError: a name or a value is not allowed.
    """
    try:
        config = SweepConfig.model_validate(read_yaml(path))
        for name, values in config.space.items():
            if name not in flat_params(params) or name in NOT_SEARCHED:
                raise ValueError(f"{name} is no param of pad or train that can be searched")
            for value in values.choices or (values.low, values.high):
                with_values(params, {name: value})
        # Optuna checks that bounds, step and logarithm go together.
        draw_values(optuna.create_study().ask(), params, config.space)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise UserError(f"{path} is not valid: {name}: {problem['msg']}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid: {error}") from None
    return config


def flat_params(params: Params) -> dict[str, Any]:
    """Return the params of `pad` and `train` by dotted name."""
    return flatten(params.pad, "pad") | flatten(params.train, "train")


def draw_values(
    trial: optuna.Trial, params: Params, space: Mapping[str, ParamSpace]
) -> dict[str, Any]:
    """Return a value for each param of the space, by dotted name.

    Raises:
        ValueError: bounds, step and logarithm do not go together.
    """
    for name, values in space.items():
        step = values.step
        if values.choices is not None:
            trial.suggest_categorical(name, values.choices)
        elif isinstance(flat_params(params)[name], float):
            trial.suggest_float(name, values.low, values.high, step=step, log=values.log)
        elif isinstance(step, float):
            raise ValueError(f"{name}: the step {step} is not an integer")
        else:
            trial.suggest_int(name, values.low, values.high, step=step or 1, log=values.log)
    return round_values(trial.params)


def round_values(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Round drawn numbers as people write them: three steps of 0.1 are 0.3."""
    return {
        name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
        for name, value in drawn.items()
    }


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """Return params with other values, given by dotted name.

    Raises:
        UserError: a value is not allowed.
    """
    document = params.model_dump()
    for name, value in values.items():
        *sections, key = name.split(".")
        section = document
        for each in sections:
            section = section[each]
        section[key] = value
    return parse_params(document, str(CONFIG_FILE))


def format_values(values: Mapping[str, Any]) -> str:
    """Return values as one line for a reader."""
    return ", ".join(f"{name}={value}" for name, value in round_values(values).items())
