"""Find the columns of a table that have the texts and the labels, by their names."""

import re
from collections.abc import Sequence
from pathlib import Path

from sentiment.data.rows import MAX_NAMES_SHOWN, Columns, column_names
from sentiment.errors import UserError

TEXT_WORDS = {"text", "review", "sentence", "comment", "tweet", "message", "content", "body"}
LABEL_WORDS = {"label", "sentiment", "star", "rating", "category", "class", "topic"}
PLURAL_ENDINGS = {"s": "", "es": "", "ies": "y"}  # and the endings of the singular
NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # reviewText has two words, and so has review_text


def find_columns(path: Path, text: str | None, label: str | None) -> Columns:
    """Return the columns of a table, as a user names them or as their names say.

    Args:
        text: the column of the texts. None: find it. `label` likewise.
        label: the column of the labels.

    Raises:
        UserError: the table cannot be read, or a column must be named.
    """
    names = column_names(path)
    if not names:
        raise UserError(f"{path} has no rows. Name another table.")
    if len(names) == 1:
        raise UserError(
            f"{path} has only the column {names[0]!r}. It needs a column of texts and one of "
            "labels. In a CSV file, separate them by commas."
        )
    return choose_columns(str(path), names, text, label)


def choose_columns(
    table: str, names: Sequence[str], text: str | None, label: str | None
) -> Columns:
    """Choose the columns of the texts and of the labels among all columns.

    A column that nobody named must be the only one whose name is or ends with a known word, or the
    only one that is left.

    Args:
        table: the table, for messages.
        text: the column of the texts. None: choose it. `label` likewise.
        label: the column of the labels.

    Raises:
        UserError: there is no such column, one must be named, or both are the same.
    """
    shown = ", ".join(map(repr, names[:MAX_NAMES_SHOWN]))
    for use, column in (("text", text), ("label", label)):
        if column is not None and column not in names:
            raise UserError(
                f"{table} has no column {column!r}. Correct --{use}. The columns are {shown}."
            )
    text = text or known_column([name for name in names if name != label], TEXT_WORDS)
    label = label or known_column([name for name in names if name != text], LABEL_WORDS)
    left = [name for name in names if name not in (text, label)]
    if len(left) == 1 and (text or label):
        text = text or left[0]
        label = label or left[0]
    for use, column in (("text", text), ("label", label)):
        if column is None:
            raise UserError(
                f"{table}: which column has the {use}s? Name it with --{use}. The columns are "
                f"{shown}."
            )
    assert text is not None
    if text == label:
        raise UserError(f"{table}: column {text!r} cannot have both texts and labels. Name two.")
    return Columns(text, label)


def known_column(names: Sequence[str], known: set[str]) -> str | None:
    """Return the only column that is named by a known word, or else the only one that ends with it.

    Upper and lower case are the same, and so are singular and plural.
    """
    exact = [name for name in names if is_known(name, known)]
    ending = [name for name in names if is_known((NAME_WORD.findall(name) or [""])[-1], known)]
    for matching in (exact, ending):
        if len(matching) == 1:
            return matching[0]
    return None


def is_known(word: str, known: set[str]) -> bool:
    """Return whether a word, or its singular, is among known ones."""
    lower = word.lower()
    singulars = [
        lower.removesuffix(plural) + singular
        for plural, singular in PLURAL_ENDINGS.items()
        if lower.endswith(plural)
    ]
    return not known.isdisjoint({lower, *singulars})
