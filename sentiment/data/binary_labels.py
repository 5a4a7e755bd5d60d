"""The labels in a column of a table: a positive one, and one other."""

import json
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError

INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # pandas writes integers so if some are missing
MAX_LABELS = 100  # distinct values; a column with more has no labels
MAX_LABELS_SHOWN = 10  # in a message
MAX_CHARACTERS_SHOWN = 20  # of a label in a message


def normalize_label(value: Any) -> Any:
    """Return a finite number or a boolean as its JSON text, and any other value as it is.

    The texts of a CSV file are normalized likewise: 1, 1.0, `1` and `1.0` are the same label, and
    so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


class BinaryLabels:
    """The two labels in a column: a positive one, and one other that the rows define.

    Args:
        positive: the positive label.
        column: name of the column, for messages.

    Attributes:
        first_rows: each distinct label, with the file and the number of its first row.
    """

    def __init__(self, positive: str, column: str) -> None:
        self.positive = positive
        self.column = column
        self.first_rows: dict[str, str] = {}

    def learn(self, label: str, location: str) -> int:
        """Return the index of a label, 1 for the positive one, and remember the label.

        Args:
            label: the label.
            location: file and row of the label.

        Raises:
            UserError: there are more than `MAX_LABELS` labels.
        """
        self.first_rows.setdefault(label, location)
        if len(self.first_rows) > MAX_LABELS:
            raise UserError(
                f"{location}: column {self.column!r} has more than {MAX_LABELS} labels. Name a "
                "column with two labels."
            )
        return int(label == self.positive)

    def names(self) -> list[str]:
        """Return the labels in the order of their indices, once the rows have both."""
        return [*(label for label in self.first_rows if label != self.positive), self.positive]

    def check_two(self, name: str) -> None:
        """Check that the rows so far have the positive label and at most one other.

        Args:
            name: what the rows are called in messages.

        Raises:
            UserError: the rows have other labels.
        """
        others = [label for label in self.first_rows if label != self.positive]
        if others and self.positive not in self.first_rows:
            shown = ", ".join(map(_shorten, others[:MAX_LABELS_SHOWN]))
            more = ", …" if len(others) > MAX_LABELS_SHOWN else ""
            raise UserError(
                f"{name}: no row has the positive label {self.positive!r} in column "
                f"{self.column!r}. Its labels are {shown}{more}. Name one of them as the "
                "positive label."
            )
        if len(others) > 1:
            raise UserError(
                f"{self.first_rows[others[1]]}: column {self.column!r} has a third label, "
                f"{_shorten(others[1])}. Only {self.positive!r} (positive) and "
                f"{_shorten(others[0])} were expected. Correct this row, or remove it."
            )

    def check_both_present(self, labels: NDArray[np.uint8], name: str) -> None:
        """Check that rows have both labels.

        Args:
            labels: indices of the labels, shape (rows,).
            name: what the rows are called in messages.

        Raises:
            UserError: there are no rows, or all have the same label.
        """
        if not len(labels):
            raise UserError(
                f"{name} has no row with a known word in its text. Add rows with both labels."
            )
        if len(np.unique(labels)) < 2:
            which = "all" if labels[0] else "none"
            raise UserError(
                f"{name}: {which} of the {len(labels):,} rows have the label {self.positive!r} in "
                f"column {self.column!r}, but both labels are needed. Add rows with the other "
                "label."
            )


def _shorten(label: str) -> str:
    if len(label) > MAX_CHARACTERS_SHOWN:
        label = label[:MAX_CHARACTERS_SHOWN] + "…"
    return repr(label)
