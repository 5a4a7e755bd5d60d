"""The labels of a table: their names in order, and which ones cannot be learned."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from sentiment.errors import UserError
from sentiment.params import TableParams

NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
MAX_LABELS = 100  # distinct values; a column with more has no labels
MAX_LABELS_SHOWN = 10  # in a message
MAX_CHARACTERS_SHOWN = 20  # of a label in a message
MIN_TEXTS_OF_LABEL = 2  # of each label, before a share of them becomes the test set


def training_label_names(rows: pd.DataFrame, params: TableParams) -> list[str]:
    """Return the names of the labels of a table's training texts, in the order of their indices.

    Args:
        rows: the rows whose text has a word, with the columns `row` and `label`.

    Raises:
        UserError: there are no texts, or their labels cannot be learned.
    """
    if rows.empty:
        raise UserError(f"{params.train} has no row with a known word in its text. Add rows.")
    where = f"{params.train}, column {params.label!r}"
    counts = rows["label"].value_counts()
    labels = sort_label_names(counts.index)
    if len(labels) == 1:
        raise UserError(
            f"{where}: all {len(rows):,} texts have the same label, {shorten_label(labels[0])}. "
            "Add texts with another label, or name another column."
        )
    measurements = [label for label in labels if "." in label]
    if measurements and all(map(NUMBER.match, labels)):
        raise UserError(
            f"{where} has numbers such as {measurements[0]}, which look like measurements. "
            "Make a column of labels from them, such as low and high."
        )
    if len(labels) > MAX_LABELS:
        raise UserError(
            f"{where} has {len(labels):,} different values, more than {MAX_LABELS}. Name the "
            "column of the labels with --label, or in fetch.table.label."
        )
    for label in labels:
        if counts[label] < MIN_TEXTS_OF_LABEL:
            row = rows["row"][rows["label"] == label].iloc[0]
            raise UserError(
                f"{where}: the label of row {row} occurs only once. Correct it, or add texts with "
                "this label."
            )
    return _with_positive_last(labels, params.positive, where)


def _with_positive_last(labels: list[str], positive: str, where: str) -> list[str]:
    """Return the labels so that the second of two is the positive one.

    Raises:
        UserError: there is no such label, or there are more than two labels.
    """
    if not positive:
        return labels
    if positive not in labels:
        raise UserError(
            f"{where} has no label {positive!r}, which fetch.table.positive names. Its labels are "
            f"{list_labels(labels)}. Name one of them."
        )
    if len(labels) > 2:
        raise UserError(
            f"{where} has {len(labels)} labels. Only one of two labels can be positive. Leave "
            "--positive out, or set fetch.table.positive to ''."
        )
    return sorted(labels, key=lambda label: label == positive)


def check_known(rows: pd.DataFrame, path: str, column: str, label_names: Sequence[str]) -> None:
    """Check that all labels of a table are in a list.

    Args:
        rows: the rows, with the columns `row` and `label`.
        path: the table, for the message. `column` likewise.

    Raises:
        UserError: a label is not in the list.
    """
    unknown = rows[~rows["label"].isin(label_names)]
    if not unknown.empty:
        first = unknown.iloc[0]
        raise UserError(
            f"{path}, row {first['row']}: column {column!r} has a label that the training set does "
            f"not have. Its labels are {list_labels(label_names)}. Correct this row, or remove it."
        )


def sort_label_names(labels: Iterable[str]) -> list[str]:
    """Return labels in their order: as numbers if all of them are numbers, otherwise as texts."""
    in_order = sorted(labels)
    if all(map(NUMBER.match, in_order)):
        in_order.sort(key=float)
    return in_order


def list_labels(labels: Sequence[str]) -> str:
    """Return the first labels of a list, for a message."""
    shown = ", ".join(map(shorten_label, labels[:MAX_LABELS_SHOWN]))
    return f"{shown}, …" if len(labels) > MAX_LABELS_SHOWN else shown


def shorten_label(label: str) -> str:
    """Return a label in quotes for a message, or the length of a long one, which may be a text."""
    if len(label) > MAX_CHARACTERS_SHOWN:
        return f"a label of {len(label)} characters"
    return repr(label)
