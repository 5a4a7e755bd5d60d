"""The config of `make sweep`, extras/sweep/sweep.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from sentiment.section import SEED_LIMIT, Section
from workflow.params_file import TUNABLE_SECTIONS, find_field, is_tunable

CONFIG_FILE = Path("extras", "sweep", "sweep.yaml")
NOT_SEARCHED = ("train.validation_split", "train.seed")


class ParamSpace(Section):
    """The values of a param to search: `choices`, or the numbers from `low` to `high`."""

    choices: list[bool | int | float | str] | None = Field(default=None, min_length=1)
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _check_choices_or_range(self) -> Self:
        is_range = self.choices is None
        if is_range == (self.low is None) or is_range == (self.high is None):
            raise ValueError("give either choices, or low and high")
        if self.low is None or self.high is None:
            return self
        if self.high < self.low:
            raise ValueError(f"high {self.high} must be at least low {self.low}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        return self


class Confirm(Section):
    """The confirmation of the best trials."""

    top: int = Field(ge=1, le=100)
    seeds: int = Field(ge=2, le=100)


class SweepConfig(Section):
    """The content of `sweep.yaml`."""

    metric: Literal["val_loss", "val_accuracy"]
    sampler: Literal["tpe", "random"]
    pruner: Literal["halving", "none"]
    min_epochs: int = Field(ge=1, le=1000)
    reduction_factor: int = Field(ge=2, le=100)
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    confirm: Confirm
    space: dict[str, ParamSpace] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_space(self) -> Self:
        problems = [
            f"{name}: {problem}"
            for name, values in self.space.items()
            for problem in _space_problems(name, values)
        ]
        if self.metric == "val_loss" and "train.label_smoothing" in self.space:
            problems.append("train.label_smoothing: it changes val_loss: take val_accuracy")
        if problems:
            raise ValueError(f"space: {'; '.join(problems)}")
        return self


def _space_problems(name: str, values: ParamSpace) -> Iterator[str]:
    field = find_field(name)
    if field is None or not is_tunable(name) or name in NOT_SEARCHED:
        yield f"not a tunable param of {' or '.join(TUNABLE_SECTIONS)} (see extras/sweep/README.md)"
        return
    if values.choices is None and field.annotation not in (int, float):
        yield "not a number: give choices"
        return
    if field.annotation is int and values.step is not None and values.step != int(values.step):
        yield f"step {values.step!r} is not an integer"
    kind: Any = Annotated[field.annotation, field]
    allowed: Any = TypeAdapter(kind, config={"strict": True})
    searched: list[Any] = [values.low, values.high]
    for value in values.choices or searched:
        try:
            allowed.validate_python(value)
        except ValidationError as error:
            yield f"{value!r} is not allowed. {error.errors()[0]['msg']}"
