"""Read the texts that are compared, from the log of a server or from a file."""

import random
from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentiment.data.rows import Columns, Row, read_rows
from workflow import downloads
from workflow.serving.prediction_log import parse_line

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

COLUMNS = ["words", "unknown", "truncated", "probability"]
MAX_SAMPLE = 20_000  # texts whose words are counted
BATCH_SIZE = 5000  # texts that are predicted at once
LINES_TRIED = 100  # first lines of a file, one of which shows that the file is a log


class Window:
    """The texts that are compared, and the number of rows or lines that are left out.

    Args:
        max_sample: number of texts in `sample` at most.

    Attributes:
        sample: texts drawn at random, as far as they are known.
        unreadable: number of rows or lines that cannot be read.
        other_versions: number of lines that are predictions of other model versions.
    """

    def __init__(self, max_sample: int = MAX_SAMPLE) -> None:
        self.max_sample = max_sample
        self.sample: list[str] = []
        self.unreadable = 0
        self.other_versions = 0
        self._values = array("d")
        self._known_texts = 0

    def add(self, row: Sequence[float], text: str | None) -> None:
        """Add a text with its values of `COLUMNS`."""
        self._values.extend(row)
        if text is None:
            return
        # Vitter 1985, Random Sampling with a Reservoir (algorithm R)
        self._known_texts += 1
        if len(self.sample) < self.max_sample:
            self.sample.append(text)
        elif (position := random.randrange(self._known_texts)) < self.max_sample:
            self.sample[position] = text

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._values) // len(COLUMNS)

    @property
    def rows(self) -> int:
        """Number of rows or lines, including those that are left out."""
        return len(self) + self.unreadable + self.other_versions

    def to_table(self) -> pd.DataFrame:
        """Return the texts, one row each.

        Returns:
            Columns `words` (number), `unknown` (share of the words), `truncated` (0 or 1) and
            `probability`.
        """
        return pd.DataFrame(np.array(self._values).reshape(-1, len(COLUMNS)), columns=COLUMNS)


def find_logs(path: Path) -> list[Path]:
    """Return the files of a log, the oldest first, or none if the path is not a log.

    A folder is a log, and so is a file of JSON lines with a line of a log among its first lines.
    """
    if path.is_dir():
        return sorted(path.glob("*.jsonl"))
    if path.suffix != ".jsonl" or not path.is_file():
        return []
    with path.open("rb") as file:
        is_log = any(parse_line(line) for line in islice(file, LINES_TRIED))
    return [path] if is_log else []


def read_log(paths: Iterable[Path], version: str, window: Window) -> None:
    """Add the texts of a log that a model version predicted to a window."""
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                if not line.strip():
                    continue
                values = parse_line(line)
                if values is None:
                    window.unreadable += 1
                elif values.version != version:
                    window.other_versions += 1
                else:
                    row = (values.words, values.unknown, values.truncated, values.probability)
                    window.add(row, values.text)


def read_file(
    file: str, column: str, max_characters: int, model: "SentimentModel", window: Window
) -> None:
    """Predict the texts of a file, and add them to a window.

    Args:
        file: a path or a URL.
        column: the column of the texts.
        max_characters: the longest text that is allowed.
        model: the model that predicts the texts.
        window: the window that gets the texts.

    Raises:
        UserError: the file cannot be read to its end.
    """
    with downloads.local_copy(file) as source:
        rows = read_rows(source, Columns(column), max_characters)
        while batch := list(islice(rows, BATCH_SIZE)):
            valid = [row.text for row in batch if isinstance(row, Row)]
            window.unreadable += len(batch) - len(valid)
            for text, prediction in zip(valid, model.predict_texts(valid), strict=True):
                unknown = prediction.unknown / max(prediction.words, 1)
                probability = float(prediction.probability)
                window.add((prediction.words, unknown, prediction.truncated, probability), text)
