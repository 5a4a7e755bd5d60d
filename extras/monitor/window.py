"""The texts that are compared with a test set, read from a log or from a table."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from extras.common.predicted_texts import Log, predict_texts, select_version
from extras.common.prediction_log import parse_line
from sentiment.data.rows import Columns, read_rows
from sentiment.errors import UserError
from workflow import versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

LINES_TRIED = 100  # first lines of a file, one of which shows that the file is a log


class Table(NamedTuple):
    """The texts of a table, and the number of rows that have none."""

    texts: list[str]
    unreadable: int


class Window(NamedTuple):
    """The texts that are compared.

    Attributes:
        texts: see `extras.common.predicted_texts`.
        unreadable: number of rows or lines that cannot be read.
        other_versions: number of lines that are predictions of other versions.
    """

    texts: pd.DataFrame
    unreadable: int
    other_versions: int

    @property
    def rows(self) -> int:
        """Number of rows or lines."""
        return len(self.texts) + self.unreadable + self.other_versions


def is_log(path: Path) -> bool:
    """Return whether a path is a log: a folder, or a file that begins like one."""
    if path.is_dir():
        return True
    with path.open("rb") as file:
        return any(parse_line(line) for line in islice(file, LINES_TRIED))


def read_table(path: Path, column: str) -> Table:
    """Read the texts of a table.

    Raises:
        UserError: the file cannot be read to its end, or has no valid text.
    """
    rows = [row.text for row in read_rows(path, Columns(column))]
    texts = [text for text in rows if text]
    if not texts:
        raise UserError(
            f"{path} has no text in column {column!r} of its {len(rows):,} rows. Correct the file."
        )
    return Table(texts, len(rows) - len(texts))


def predict_window(source: Log | Table, version: "ModelVersion") -> Window:
    """Return the predictions of a version for the texts of a log or a table.

    Raises:
        UserError: the log has only predictions of other versions, or the version cannot be loaded.
    """
    if isinstance(source, Log):
        texts = select_version(source, version)
        return Window(texts, source.unreadable, len(source.lines) - len(texts))
    model = versions.load_model(versions.version_uri(version))
    return Window(predict_texts(model, source.texts), source.unreadable, 0)


def draw_texts(window: Window, count: int) -> list[str]:
    """Draw texts at random.

    Raises:
        UserError: the window has fewer texts.
    """
    known = window.texts["text"].dropna()
    if len(known) < count:
        advice = "Ask for fewer"
        if len(known) < len(window.texts):
            advice += ", or log the texts by `sentiment serve --log-texts`"
        raise UserError(f"There are {len(known):,} texts to label, fewer than {count:,}. {advice}.")
    return list(known.sample(count))
