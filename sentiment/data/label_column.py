"""The labels in a column of a table, which define the labels of its dataset."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError

NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
MAX_LABELS = 100  # distinct values; a column with more has no labels
MAX_LABELS_SHOWN = 10  # in a message
MAX_CHARACTERS_SHOWN = 20  # of a label in a message
MIN_TEXTS_OF_LABEL = 2  # of each label, before a share of them becomes the test set


class LabelColumn:
    """The labels in a column, and their codes.

    The codes count from 0 in the order of first occurrence, as those of `pandas.factorize`.

    Args:
        name: name of the column, for messages.
        positive: the positive one of two labels. Empty: the second in the order of
            `sort_label_names`.

    Attributes:
        first_rows: each distinct label, with the file and the number of its first row.
    """

    def __init__(self, name: str, positive: str) -> None:
        self.name = name
        self.positive = positive
        self.first_rows: dict[str, str] = {}
        self._codes: dict[str, int] = {}

    def code_of(self, label: str, location: str) -> int:
        """Return the code of a label, and remember the label.

        Args:
            location: file and row of the label.

        Raises:
            UserError: there are more than `MAX_LABELS` labels.
        """
        self.first_rows.setdefault(label, location)
        if len(self.first_rows) > MAX_LABELS:
            raise UserError(
                f"{location}: column {self.name!r} has more than {MAX_LABELS} different values. "
                "Name the column of the labels with --label, or in fetch.table.label."
            )
        return self._codes.setdefault(label, len(self._codes))

    def indices(self, codes: NDArray[np.uint8], names: list[str]) -> NDArray[np.uint8]:
        """Return the indices of labels in the names of all labels, shape (texts,)."""
        index = [names.index(label) for label in self._codes]
        return np.array(index, np.uint8)[codes]

    def training_label_names(self, codes: NDArray[np.uint8], name: str) -> list[str]:
        """Return the labels of a table's training texts, in the order of their indices.

        Args:
            codes: the codes of the labels, shape (texts,).
            name: what the texts are called in messages.

        Raises:
            UserError: there are no texts, or their labels cannot be learned.
        """
        if not len(codes):
            raise UserError(f"{name} has no row with a known word in its text. Add rows.")
        counts = np.bincount(codes, minlength=len(self._codes))
        labels = sort_label_names(label for label, code in self._codes.items() if counts[code])
        where = f"{name}, column {self.name!r}"
        if len(labels) == 1:
            raise UserError(
                f"{where}: all {len(codes):,} texts have the label {shorten_label(labels[0])}. "
                "Add texts with another label, or name another column."
            )
        measurements = [label for label in labels if "." in label]
        if measurements and all(map(NUMBER.match, labels)):
            raise UserError(
                f"{where} has numbers such as {measurements[0]}, which look like measurements. "
                "Make a column of labels from them, such as low and high."
            )
        for label in labels:
            if counts[self._codes[label]] < MIN_TEXTS_OF_LABEL:
                raise UserError(
                    f"{where}: a single text has the label {shorten_label(label)} "
                    f"({self.first_rows[label]}). Add texts with this label, or correct it."
                )
        return self._with_positive_last(labels, where)

    def _with_positive_last(self, labels: list[str], where: str) -> list[str]:
        """Return the labels so that the second of two is the positive one.

        Raises:
            UserError: there is no such label, or there are more than two labels.
        """
        if not self.positive:
            return labels
        if self.positive not in labels:
            raise UserError(
                f"{where} has no label {self.positive!r}, which fetch.table.positive names. Its "
                f"labels are {list_labels(labels)}. Name one of them."
            )
        if len(labels) > 2:
            raise UserError(
                f"{where} has {len(labels)} labels. Only one of two labels can be positive. Leave "
                "--positive out, or set fetch.table.positive to ''."
            )
        return sorted(labels, key=lambda label: label == self.positive)

    def check_known(self, label_names: list[str]) -> None:
        """Check that all labels of the column are in a list.

        Raises:
            UserError: one is not.
        """
        for label, location in self.first_rows.items():
            if label not in label_names:
                raise UserError(
                    f"{location}: column {self.name!r} has the label {shorten_label(label)}, but "
                    f"the labels of the training set are {list_labels(label_names)}. Correct this "
                    "row, or remove it."
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
    """Return the beginning of a label in quotes, for a message."""
    if len(label) > MAX_CHARACTERS_SHOWN:
        label = label[:MAX_CHARACTERS_SHOWN] + "…"
    return repr(label)
