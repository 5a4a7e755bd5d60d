"""Texts from a file of any size that need no labels, and a model's answers to them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sentiment.data import rows
from sentiment.data.rows import Source
from sentiment.errors import first_line
from sentiment.text import Encoded, Limits, encode
from workflow.registry.scoring_server import COLUMN

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

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
    for _, values in rows.records(source, names, TIMES_LONGEST * longest):
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


def answers(model: "Sentiment", texts: pd.Series) -> pd.DataFrame:
    """A model's answers to texts, by their index.

    Returns:
        Columns `label`, `probability`, `words` (in all), `unknown` (words) and `truncated`.
    """
    encoded = list[Encoded]()
    model.observe = lambda _texts, words, _probabilities: encoded.extend(words)
    table = model.predict(None, texts.to_frame(COLUMN)).set_index(texts.index)
    # a model that an earlier release registered says neither its words nor what it reads
    encoded = encoded or [encode(text, model.ranks, model.tokenizer) for text in texts]
    limits = getattr(model, "limits", Limits(len(model.ranks), np.inf))
    return table.assign(
        words=[text.words for text in encoded],
        unknown=[limits.unknown(text) for text in encoded],
        truncated=[limits.truncates(text) for text in encoded],
    )
