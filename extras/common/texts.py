"""Texts from a file of any size that need no labels, and a model's answers to them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sentiment.data import rows
from sentiment.data.rows import Source
from sentiment.errors import first_line

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

TIMES_LONGEST = 10  # characters of a field, in the longest text's, that show an open quote


class Columns(NamedTuple):
    text: str
    id: str | None = None


class Record(NamedTuple):
    """A row: its text or, with an empty one, what is wrong; and its id, if a column has one."""

    text: str
    id: str | None
    error: str | None


def read(source: Source, columns: Columns, longest: int) -> Iterator[Record]:
    """Read the rows of a file, whose texts have at most `longest` characters.

    Raises:
        UserError: the file cannot be read any further.
    """
    names = {"TEXT": columns.text} | ({"ID": columns.id} if columns.id else {})
    for _, values in rows.read_rows(source, names, TIMES_LONGEST * longest):
        if isinstance(values, Exception):
            yield Record("", None, first_line(values))
            continue
        name = values[columns.id] if columns.id else None
        error = _problem(values, columns.text, longest)
        shown = None if name is None else str(name)
        yield Record("" if error else values[columns.text], shown, error)


def _problem(values: Mapping[str, Any], column: str, longest: int) -> str | None:
    text = values[column]
    if not isinstance(text, str):
        return f"column {column!r} has no text"
    if len(text) > longest:
        return f"column {column!r} has {len(text):,} characters, more than {longest:,}"
    return None


def answers(model: "SentimentModel", texts: pd.Series) -> pd.DataFrame:
    """A model's answers to texts, by their index.

    Returns:
        Columns `label`, `probability`, `words` (in all), `unknown` (words) and `truncated`.
    """
    predictions = model.predict_texts(texts.tolist())
    columns = ["label", "probability", "words", "unknown", "truncated"]
    table = pd.DataFrame(predictions, texts.index, columns)
    return table.astype({"probability": np.float32})
