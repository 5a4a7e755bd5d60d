"""The parts of a file, which any process can predict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sentiment.data.rows import Columns, Row, read_rows
from sentiment.prediction.labels import probability_column
from workflow import versions

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel

PART_ROWS = 10_000


def schema(labels: Sequence[str]) -> pa.Schema:
    """Return the columns of predictions with these labels."""
    return pa.schema(
        {
            "row": pa.int64(),  # from 1
            "id": pa.string(),
            "label": pa.string(),
            **{probability_column(label): pa.float32() for label in labels},
            "words": pa.int32(),
            "unknown_words": pa.int32(),
            "error": pa.string(),
        }
    )


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a file.

    Attributes:
        number: number of the part, from 1.
        rows: the rows. `repr` leaves them out, because Dask logs the arguments of a failed call.
    """

    number: int
    rows: list[Row] = field(repr=False)


def read_parts(path: Path, columns: Columns) -> Iterator[Part]:
    """Read a file in parts of `PART_ROWS` rows. See `sentiment.data.rows.read_rows`."""
    rows = read_rows(path, columns)
    for number in count(1):
        part = list(islice(rows, PART_ROWS))
        if not part:
            return
        yield Part(number, part)


def predict_part(part: Part, model_uri: str, tracking_uri: str) -> tuple[int, pa.Table]:
    """Predict a part by a model version.

    Args:
        part: the part.
        model_uri: URI of the logged model.
        tracking_uri: the tracking store that has the model.

    Returns:
        The number of the part, and its predictions as in `schema`.
    """
    model = load_cached_model(model_uri, tracking_uri)
    texts = [row.text for row in part.rows if row.text]
    predictions = iter(model.predict_texts(texts))
    records: list[dict[str, Any]] = []
    for row in part.rows:
        record: dict[str, Any] = {"row": row.number, "id": row.id}
        if not row.text:
            record["error"] = "There is no text"
        else:
            prediction = next(predictions)
            record |= {
                "label": prediction.label,
                "words": prediction.words,
                "unknown_words": prediction.unknown_words,
            }
            for label, probability in prediction.probabilities.items():
                record[probability_column(label)] = probability
        records.append(record)
    return part.number, pa.Table.from_pylist(records, schema(model.labels))


@cache
def load_cached_model(model_uri: str, tracking_uri: str) -> "SentimentModel":
    """Load a version once in each process.

    Raises:
        UserError: the version cannot be loaded.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    return versions.load_model(model_uri)
