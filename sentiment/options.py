"""Options that several commands have."""

from collections.abc import Callable
from typing import TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., object])

metric = click.option(
    "--metric",
    type=click.Choice(["accuracy", "f1"]),
    default="accuracy",
    show_default=True,
    help="The metric that is compared.",
)


def model_uri(shown_default: str) -> Callable[[Decorated], Decorated]:
    """Return the option that names a version.

    Args:
        shown_default: what `--help` says is used without the option.
    """
    return click.option(
        "--model",
        "model_uri",
        metavar="VERSION",
        show_default=shown_default,
        help="A version such as models:/imdb-sentiment/1.",
    )
