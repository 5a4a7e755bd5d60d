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


def any_model(name: str, shown_default: str | None) -> Callable[[Decorated], Decorated]:
    """Return an option that names a model: a version, the champion or a run.

    Args:
        shown_default: what `--help` says is used without the option.
    """
    return click.option(
        name,
        metavar="MODEL",
        show_default=shown_default or False,
        help="champion, a version such as models:/imdb-sentiment/1, or the id of a run.",
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
