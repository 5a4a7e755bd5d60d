"""Parts of the texts: how any process predicts them, and the files of their predictions."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyarrow import compute, csv, parquet

from sentiment.data.rows import Row
from sentiment.errors import UserError
from sentiment.text.labels import probability_column
from tracking import store, versions

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel

PART_ROWS = 10_000
WRITERS = {".parquet": parquet.ParquetWriter, ".csv": csv.CSVWriter}


@dataclass(frozen=True)
class Part:
    """Consecutive rows.

    Attributes:
        number: number of the part, from 1.
        rows: the rows. `repr` leaves them out, because a worker may log its tasks.
    """

    number: int
    rows: list[Row] = field(repr=False)


def predictions_schema(labels: Sequence[str]) -> pa.Schema:
    """Return the columns of predictions with these labels."""
    return pa.schema(
        {
            "row": pa.int64(),  # from 1
            "id": pa.string(),
            "actual": pa.string(),
            "label": pa.string(),
            **{probability_column(label): pa.float32() for label in labels},
            "words": pa.int32(),
            "unknown_words": pa.int32(),
            "error": pa.string(),
        }
    )


def split_rows(rows: Iterator[Row]) -> Iterator[Part]:
    """Split rows into parts of `PART_ROWS` rows."""
    for number in count(1):
        part = list(islice(rows, PART_ROWS))
        if not part:
            return
        yield Part(number, part)


def predict_part(part: Part, model_uri: str) -> tuple[int, pa.Table]:
    """Predict a part by a model of the tracking store that this process uses.

    Returns:
        The number of the part, and its predictions as in `predictions_schema`.
    """
    model = cached_model(model_uri)
    predictions = iter(model.predict_texts([row.text for row in part.rows if row.text]))
    records = []
    for row in part.rows:
        record: dict[str, Any] = {"row": row.number, "id": row.id, "actual": row.label or None}
        if not row.text:
            record["error"] = "There is no text"
        else:
            prediction = next(predictions)
            record["label"] = prediction.label
            record["words"] = prediction.words
            record["unknown_words"] = prediction.unknown_words
            for label, probability in prediction.probabilities.items():
                record[probability_column(label)] = probability
        records.append(record)
    return part.number, pa.Table.from_pylist(records, predictions_schema(model.label_names))


@cache
def cached_model(model_uri: str) -> "SentimentModel":
    """Return a model, which each process loads once.

    Raises:
        UserError: this process cannot load it.
    """
    try:
        store.connect_to_read()
        return versions.load_model(model_uri)
    except UserError as error:
        raise UserError(f"A worker cannot load the model: {error}") from None


def read_part(path: Path) -> pd.DataFrame:
    """Return the predictions in a part's file, as `sentiment.evaluation.metrics` describes them.

    `review` is the number of the row. `seen_in_training` is False: it is not known which texts the
    version was trained on.
    """
    table = parquet.read_table(path)
    table = table.filter(compute.is_null(table["error"])).drop_columns("error")
    predictions: pd.DataFrame = table.to_pandas()
    names = {"row": "review", "label": "predicted"}
    return predictions.rename(columns=names).assign(seen_in_training=False)


def write_part(path: Path, predictions: pa.Table) -> None:
    """Write the file of a part, whole or not at all."""
    with new_file(path) as file:
        parquet.write_table(predictions, file)


def join_parts(paths: Sequence[Path], out: Path) -> None:
    """Write the predictions of all parts into one file, whole or not at all.

    Args:
        paths: the files of the parts.
        out: the file. Its extension is one of `WRITERS`.
    """
    schema = parquet.read_schema(paths[0])
    with new_file(out) as file, WRITERS[out.suffix](file, schema) as writer:
        for path in paths:
            writer.write_table(parquet.read_table(path))


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that only its owner can read, and that gets its name once it is whole."""
    # Two commands may write the same part. Readers of Parquet skip names that start with a dot.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
