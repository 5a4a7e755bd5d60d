"""Predict the rows of a source, batch by batch, and write the predictions to a file."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyarrow import compute, csv, parquet

from sentiment.data.rows import Row
from sentiment.project.files.documents import guard_formulas, replacing
from sentiment.text.labels import probability_column

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel

ROWS_AT_ONCE = 10_000
WRITERS = {".parquet": parquet.ParquetWriter, ".csv": csv.CSVWriter}


def predictions_schema(label_names: Sequence[str]) -> pa.Schema:
    """Return the columns of predictions with these labels."""
    return pa.schema(
        {
            "row": pa.int64(),  # from 1
            "id": pa.string(),
            "actual": pa.string(),
            "label": pa.string(),
            **{probability_column(label): pa.float32() for label in label_names},
            "words": pa.int32(),
            "unknown_words": pa.int32(),
            "error": pa.string(),
        }
    )


def predict_rows(model: "SentimentModel", rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Yield the predictions for the next `ROWS_AT_ONCE` rows, as a table."""
    schema = predictions_schema(model.label_names)
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_AT_ONCE)):
        predictions = iter(model.predict_texts([row.text for row in batch if row.text]))
        records = []
        for row in batch:
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
        yield pa.Table.from_pylist(records, schema)


def without_errors(predictions: pa.Table) -> pd.DataFrame:
    """Return the predictions that were made, as `sentiment.evaluation.metrics` describes them.

    `seen_in_training` is False: it is not known which texts the version was trained on.
    """
    made = predictions.filter(compute.is_null(predictions["error"])).drop_columns("error")
    table: pd.DataFrame = made.to_pandas()
    return table.rename(columns={"label": "predicted"}).assign(seen_in_training=False)


def write_each(
    tables: Iterable[pa.Table], out: Path, label_names: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield tables, and write them to a file on the way, which appears after the last one.

    Args:
        tables: predictions, with the columns of `predictions_schema`.
        out: the new file. Its extension is one of `WRITERS`.
        label_names: the labels of the model.
    """
    schema = predictions_schema(label_names)
    with new_file(out) as file, WRITERS[out.suffix](file, schema) as writer:
        for table in tables:
            writer.write_table(guard_table(table) if out.suffix == ".csv" else table)
            yield table


def guard_names(names: Iterable[Any]) -> list[Any]:
    """Return ids or labels, of which none is a formula for a spreadsheet. Some may be missing."""
    return [guard_formulas([name])[0] if isinstance(name, str) else name for name in names]


def guard_table(table: pa.Table) -> pa.Table:
    """Return predictions of which no id or label is a formula for a spreadsheet."""
    for name in ("id", "actual", "label"):
        guarded = pa.array(guard_names(table[name].to_pylist()), pa.string())
        table = table.set_column(table.column_names.index(name), name, guarded)
    return table


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that only its owner can read, and that gets its name once it is whole."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with replacing(path) as partial, os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
        yield file
