"""The texts that are looked at, from the log of a server or from a file."""

import heapq
import json
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentiment.data.rows import Columns, Row, read_rows
from workflow import downloads

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

LOGGED = ["words", "unknown", "truncated", "probability"]  # `unknown` is a share
AT_ONCE = 5000  # texts that the model is asked about
Seen = tuple[list[float], str | None]  # what is logged of a text; the text itself, if it is known


def collect(seen: Iterable[Seen], most: int) -> tuple[pd.DataFrame, list[str]]:
    """What is `LOGGED` of all texts, a row for each, and at most so many texts, drawn at random."""
    rows = list[list[float]]()

    def keyed() -> Iterator[tuple[float, str]]:
        for row, text in seen:
            rows.append(row)
            if text is not None:
                yield random.random(), text

    sample = [text for _, text in heapq.nlargest(most, keyed())]
    return pd.DataFrame(rows, columns=LOGGED, dtype=float), sample


def logs(path: Path) -> list[Path]:
    """The files of a log, the oldest first; none if this is no log."""
    if path.is_dir():
        return sorted(path.glob("*.jsonl"))
    if path.suffix != ".jsonl" or not path.is_file():
        return []
    with path.open("rb") as file:
        return [path] if parsed(file.readline()) else []


def parsed(line: bytes) -> dict[str, Any]:
    """A line of a log; empty if it is none, as a full disk may leave it."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) and values.keys() >= {*LOGGED, "version"} else {}


def read_log(files: list[Path], version: str) -> Iterator[Seen]:
    """What a log says of the texts that a version answered."""
    for path in files:
        with path.open("rb") as file:
            for values in map(parsed, file):
                if values.get("version") == version:
                    yield [values[name] for name in LOGGED], values.get("text")


def read_file(file: str, column: str, longest: int, model: "SentimentModel") -> Iterator[Seen]:
    """What a model says of the texts of a file; UserError if that cannot be read."""
    with downloads.local_copy(file) as source:
        rows = read_rows(source, Columns(column), longest)
        good = (row.text for row in rows if isinstance(row, Row))
        while batch := list(islice(good, AT_ONCE)):
            for text, prediction in zip(batch, model.predict_texts(batch), strict=True):
                unknown = prediction.unknown / max(prediction.words, 1)
                probability = float(prediction.probability)
                yield [prediction.words, unknown, prediction.truncated, probability], text
