"""A file of texts in parts that any process can score, each into a file of its own.

The texts are copied once, into Parquet, of which a row group is a part. A part is written beside
its place and moved there, with what it was made from in its metadata: it is whole or not there.
"""

import json
import os
from collections.abc import Iterable
from functools import cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from extras.common import texts
from extras.common.texts import Record
from sentiment.errors import UserError
from workflow import files, store
from workflow.registry import champion

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

PARTS = "parts"  # in the folder of the answers: what reads a folder of Parquet takes no other file
ROWS = 10_000  # of a part, but for the last
COPY = ".texts.parquet"
COPIED = pa.schema({"text": pa.large_string(), "id": pa.string(), "error": pa.string()})
ALONE = Lock()  # a worker may have several threads, which share one model
ORIGIN, COUNTS = b"score.origin", b"score.counts"  # in a part's metadata
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


class Job(NamedTuple):
    """What is the same for all parts.

    Attributes:
        folder: that of the answers, which every worker can reach.
        model: address of the registered version.
        tracking_uri: of the store that has it.
        origin: digests of the input and the model, and how the input is read and divided.
        pinned: whether a worker keeps to one core.
    """

    folder: Path
    model: str
    tracking_uri: str
    origin: dict[str, Any]
    pinned: bool


class Counts(NamedTuple):
    rows: int
    errors: int
    positive: int


def copy(records: Iterable[Record], path: Path) -> None:
    """Copy texts into a Parquet file, a row group for each part."""
    remaining = iter(records)
    with parquet.ParquetWriter(path, COPIED, compression="lz4") as writer:
        path.chmod(0o600)
        while part := list(islice(remaining, ROWS)):
            columns = dict(zip(COPIED.names, zip(*part, strict=True), strict=True))
            writer.write_table(pa.table(columns, COPIED), row_group_size=ROWS)


def sizes(job: Job) -> list[int]:
    """How many rows each part has."""
    described = parquet.read_metadata(job.folder / COPY)
    return [described.row_group(part).num_rows for part in range(described.num_row_groups)]


def place(job: Job, part: int) -> Path:
    """The file of a part, by its number from 0: names are in the order of the input."""
    return job.folder / PARTS / f"part-{part + 1:06}.parquet"


def finished(job: Job, path: Path) -> Counts | None:
    """The counts of a part if its file is there already, or None.

    Raises:
        UserError: it was made from something else.
    """
    try:
        metadata = parquet.read_schema(path).metadata or {}
        origin, counts = (json.loads(metadata[key]) for key in (ORIGIN, COUNTS))
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None
    other = [name for name, value in job.origin.items() if origin.get(name) != value]
    if other:
        raise UserError(
            f"{job.folder} has answers with another {', '.join(other)}: name another folder in "
            "OUT, or remove it."
        )
    return Counts(*counts)


def score(job: Job, part: int) -> Counts:
    """Score a part and write its file."""
    if job.pinned:
        pin()
    with parquet.ParquetFile(job.folder / COPY) as file:
        records = file.read_row_group(part).to_pandas()
    good = records.loc[records["error"].isna(), "text"]
    with ALONE:
        answers = texts.answers(load(job.model, job.tracking_uri), good)
    answers = answers.reindex(records.index).join(records[["id", "error"]])
    answers["row"] = np.arange(len(records)) + part * ROWS + 1
    counts = Counts(
        len(answers),
        int(answers["error"].notna().sum()),
        int((answers["label"] == "positive").sum()),
    )
    write(job, part, answers, counts)
    return counts


@cache
def load(model: str, tracking_uri: str) -> "SentimentModel":
    """Load a version from the tracking store of the command."""
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    store.connect()
    return champion.load_model(model)


def write(job: Job, part: int, answers: pd.DataFrame, counts: Counts) -> None:
    schema = SCHEMA if job.origin["id"] else SCHEMA.remove(SCHEMA.get_field_index("id"))
    described = schema.with_metadata({ORIGIN: json.dumps(job.origin), COUNTS: json.dumps(counts)})
    table = pa.Table.from_pandas(answers, described, preserve_index=False)
    path = place(job, part)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        parquet.write_table(table, beside)
        files.fsync(beside)
        beside.replace(path)
        files.fsync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@cache
def pin() -> None:
    """Keep this worker to one core: by itself a model takes all, and several would share them."""
    from distributed import get_worker

    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(get_worker().name) % len(cores)]})
