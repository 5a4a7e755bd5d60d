"""The values that a trial draws from the space, and the params with them."""

from collections.abc import Mapping
from typing import Any

import optuna

from sentiment.errors import UserError
from sentiment.params import Params, flatten, used_params
from sentiment.project.params_file import changed_params
from sentiment.sweep import space

SPACE_FILE = "sentiment/sweep/space.py"
# The first would change the validation reviews, and the second would only find a lucky seed.
NOT_SEARCHED = ("train.validation_split", "train.seed")
SIGNIFICANT_DIGITS = 6
CHECKED_DRAWS = 1000  # take a second


def draw_values(trial: optuna.Trial) -> dict[str, Any]:
    """Return the values of a trial by dotted name: drawn now or, of an earlier trial, as then.

    Numbers are rounded as people write them: three steps of 0.1 are 0.3.
    """
    return {
        name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
        for name, value in space.draw(trial).items()
    }


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """Return params with other values, given by dotted name.

    Raises:
        UserError: a value is not allowed.
    """
    return changed_params(params, values, SPACE_FILE)


def fixed_params(params: Params) -> dict[str, Any]:
    """Return the params of pad and train that the space never changes, by dotted name.

    Draws from the space at random, so that a mistake in it is found before anything is trained.

    Raises:
        UserError: the space has a name or a value that is not allowed, or a param that the
            architecture does not read.
    """
    fixed = flatten(params.pad, "pad") | flatten(params.train, "train")
    searchable = fixed.keys() - set(NOT_SEARCHED)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(CHECKED_DRAWS):
        try:
            values = draw_values(study.ask())
        except ValueError as error:  # such as a lower bound above the upper one
            raise UserError(f"{SPACE_FILE} is not valid: {error}") from None
        for name in values.keys() - searchable:
            raise UserError(
                f"{SPACE_FILE} is not valid: {name} is no param of pad or train that can be "
                "searched."
            )
        train = with_values(params, values).train
        read = used_params(params.fetch, params.pad, train)
        for name in values.keys() - read.keys():
            raise UserError(
                f"{SPACE_FILE} is not valid: the architecture {train.architecture} does not read "
                f"{name}. Return it only for an architecture that reads it (an example is in "
                "sentiment/sweep/README.md)."
            )
        for name in values:
            fixed.pop(name, None)
    return fixed


def format_values(values: Mapping[str, Any]) -> str:
    """Return values as one line for a reader."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
