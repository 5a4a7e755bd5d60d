"""The parts of a batch prediction. Any process can predict a part.

The texts are first copied to one Parquet file with one row group for each part. The predictions of
a part are written to a temporary file and moved into place, so that a part file is never
incomplete. Its metadata has its inputs.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel

from sentiment.data.rows import InvalidRow, Row
from sentiment.errors import UserError
from sentiment.serving.pyfunc_model import Prediction, SentimentModel
from workflow import files, store
from workflow.registry import packaging

PARTS = "parts"  # a separate folder, so that a reader finds only predictions in it
PART_ROWS = 10_000  # at most
PART_CHARACTERS = 20_000_000  # of texts and ids, at most; a longer text is a part of its own
TEXT_COPY = ".texts.parquet"
TEXT_SCHEMA = pa.schema(
    {"row": pa.int64(), "text": pa.large_string(), "id": pa.string(), "error": pa.string()}
)
MODEL_LOCK = Lock()  # a worker may have several threads, which share one model
METADATA_KEY = b"batch_predict"
SCHEMA = pa.schema(
    {
        "row": pa.int64(),  # from 1
        "id": pa.string(),
        "label": pa.string(),
        "probability": pa.float32(),
        "words": pa.int32(),
        "unknown": pa.int32(),
        "error": pa.string(),
    }
)


class BatchJob(NamedTuple):
    """The properties that all parts share.

    Attributes:
        folder: where the predictions go. Every worker can reach it.
        model_uri: the model version.
        tracking_uri: the tracking store that has the version.
        inputs: digests of the file and the model, and how the file is read and divided.
        is_pinned: whether each worker keeps to one core.
    """

    folder: Path
    model_uri: str
    tracking_uri: str
    inputs: dict[str, Any]
    is_pinned: bool


class Counts(NamedTuple):
    """Numbers of rows: all, those without a prediction, and those that are positive."""

    rows: int
    errors: int
    positive: int


class PartRecord(BaseModel):
    """The metadata of a part file, with the `inputs` of its job."""

    inputs: dict[str, Any]
    counts: Counts


class CopiedRow(NamedTuple):
    """A row of the copy. A row has a text or an error."""

    row: int  # from 1
    text: str
    id: str | None
    error: str | None


def copy_texts(rows: Iterable[Row | InvalidRow], path: Path) -> None:
    """Copy texts to a new Parquet file that only its owner can read, one row group for each part.

    An existing file is replaced.
    """
    path.unlink(missing_ok=True)
    with (
        _create_private(path) as file,
        parquet.ParquetWriter(file, TEXT_SCHEMA, compression="lz4") as writer,
    ):
        for part in _divide(rows):
            columns = dict(zip(TEXT_SCHEMA.names, zip(*part, strict=True), strict=True))
            writer.write_table(pa.table(columns, TEXT_SCHEMA), row_group_size=PART_ROWS)


def _create_private(path: Path) -> BinaryIO:
    # With its mode from the start: whoever opened it before a `chmod` could read on.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _divide(rows: Iterable[Row | InvalidRow]) -> Iterator[list[CopiedRow]]:
    part: list[CopiedRow] = []
    characters = 0
    for number, row in enumerate(rows, 1):
        if isinstance(row, Row):
            copied = CopiedRow(number, row.text, row.id, None)
        else:
            copied = CopiedRow(number, "", row.id, row.problem)
        size = len(copied.text) + len(copied.id or "")
        if part and (len(part) == PART_ROWS or characters + size > PART_CHARACTERS):
            yield part
            part = []
            characters = 0
        part.append(copied)
        characters += size
    if part:
        yield part


def part_sizes(job: BatchJob) -> list[int]:
    """Return the number of rows of each part."""
    # PyArrow takes some paths for URIs, and others for paths below the home folder.
    with (job.folder / TEXT_COPY).open("rb") as file:
        metadata = parquet.read_metadata(file)
    return [metadata.row_group(part).num_rows for part in range(metadata.num_row_groups)]


def part_path(job: BatchJob, part: int) -> Path:
    """Return the file of a part, by its number from 0. Names are in the order of the rows."""
    return job.folder / PARTS / f"part-{part + 1:06}.parquet"


def read_part_counts(job: BatchJob, path: Path) -> Counts | None:
    """Return the counts of a part file, or None if the file is unreadable.

    Raises:
        UserError: the file was made from other inputs.
    """
    try:
        with path.open("rb") as file:
            metadata = parquet.read_schema(file).metadata or {}
        record = PartRecord.model_validate_json(metadata[METADATA_KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None
    different = [name for name, value in job.inputs.items() if record.inputs.get(name) != value]
    if different:
        raise UserError(
            f"{job.folder} has predictions with another {', '.join(different)}. Name another "
            "folder in OUT, or remove this one."
        )
    return record.counts


def predict_part(job: BatchJob, part: int) -> Counts:
    """Predict the texts of a part, and write its file."""
    if job.is_pinned:
        pin_to_core()
    with (
        (job.folder / TEXT_COPY).open("rb") as opened,
        parquet.ParquetFile(opened) as file,
    ):
        records = file.read_row_group(part).to_pandas()
    texts = records.loc[records["error"].isna(), "text"]
    with MODEL_LOCK:
        predictions = load_model(job.model_uri, job.tracking_uri).predict_texts(texts.tolist())
    columns = pd.DataFrame(predictions, texts.index, Prediction._fields)
    table = records[["row", "id", "error"]].join(columns.astype({"probability": np.float32}))
    counts = Counts(
        rows=len(table),
        errors=int(table["error"].notna().sum()),
        positive=int((table["label"] == "positive").sum()),
    )
    write_part(job, part, table, counts)
    return counts


@cache
def load_model(model_uri: str, tracking_uri: str) -> SentimentModel:
    """Load a version from the tracking store of the command."""
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    store.connect()
    return packaging.load_model(model_uri)


def write_part(job: BatchJob, part: int, predictions: pd.DataFrame, counts: Counts) -> None:
    """Write the file of a part, whole or not at all."""
    schema = SCHEMA if job.inputs["id_column"] else SCHEMA.remove(SCHEMA.get_field_index("id"))
    record = PartRecord(inputs=job.inputs, counts=counts)
    described = schema.with_metadata({METADATA_KEY: record.model_dump_json()})
    table = pa.Table.from_pandas(predictions, described, preserve_index=False)
    path = part_path(job, part)
    # Two workers may write the same part, if one of them was considered lost too early.
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with partial.open("wb") as file:
            parquet.write_table(table, file)
        files.fsync(partial)
        partial.replace(path)
        files.fsync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@cache
def pin_to_core() -> None:
    """Keep this worker to one core. By itself, each worker would use all cores."""
    from distributed import get_worker

    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(get_worker().name) % len(cores)]})
