"""Texts are copied in parts of bounded size, and each part file is complete or absent."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from extras.batch_predict import parts
from extras.batch_predict.parts import BatchJob, Counts
from sentiment.data.rows import InvalidRow, Row
from sentiment.errors import UserError
from sentiment.serving.pyfunc_model import Prediction, SentimentModel
from sentiment.tokenizer import KERAS, ReadLimits

INPUTS = {"file_sha256": "0123", "id_column": "nr"}


class ShareOfGood:
    """A classifier with the share of the word of rank 1 as its probability."""

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return np.array([ranks.count(1) / max(1, len(ranks)) for ranks in texts], np.float32)


@pytest.fixture
def model() -> SentimentModel:
    """A model that knows two words."""
    model: Any = SentimentModel()
    model.word_index = {"good": 1, "bad": 2}
    model.tokenizer = KERAS
    model.threshold = 0.5
    model.limits = ReadLimits(max_rank=2, max_words=100)
    model.classifier = ShareOfGood()
    return cast(SentimentModel, model)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: SentimentModel) -> BatchJob:
    """A job in an empty folder."""
    monkeypatch.setattr(parts, "load_model", lambda *_: model)
    (tmp_path / parts.PARTS).mkdir()
    return BatchJob(tmp_path, "models:/x/1", "sqlite:///x.db", INPUTS, is_pinned=False)


def rows_of(*texts: str) -> list[Row]:
    return [Row(f"row {number}", text, id=str(number)) for number, text in enumerate(texts, 1)]


def copy(job: BatchJob, rows: Sequence[Row | InvalidRow]) -> None:
    parts.copy_texts(rows, job.folder / parts.TEXT_COPY)


def test_part_ends_at_its_number_of_rows(job: BatchJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 3)
    copy(job, rows_of(*"abcdefg"))
    assert parts.part_sizes(job) == [3, 3, 1]


def test_part_ends_at_its_number_of_characters(
    job: BatchJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_CHARACTERS", 10)
    copy(job, rows_of("four", "four", "four", "longer than that", "a", "b", "c"))
    assert parts.part_sizes(job) == [2, 1, 1, 3]  # an id counts one character


def test_rows_are_numbered_across_parts(job: BatchJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_CHARACTERS", 10)
    copy(job, rows_of("good", "bad", "good good", "bad"))
    for part in range(len(parts.part_sizes(job))):
        parts.predict_part(job, part)
    table = pd.read_parquet(job.folder / parts.PARTS)
    assert table["row"].tolist() == [1, 2, 3, 4]
    assert table["id"].tolist() == ["1", "2", "3", "4"]
    assert table["label"].tolist() == ["positive", "negative", "positive", "negative"]


def test_file_without_rows_has_no_part(job: BatchJob) -> None:
    copy(job, [])
    assert parts.part_sizes(job) == []


def test_copy_of_the_texts_is_never_readable_by_others(job: BatchJob) -> None:
    path = job.folder / parts.TEXT_COPY
    modes = []

    def observed() -> Iterator[Row]:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        yield from rows_of("fine")

    umask = os.umask(0)
    try:
        parts.copy_texts(observed(), path)
    finally:
        os.umask(umask)
    assert [*modes, stat.S_IMODE(path.stat().st_mode)] == [0o600, 0o600]


def test_copy_is_not_written_into_a_file_that_others_opened(job: BatchJob) -> None:
    path = job.folder / parts.TEXT_COPY
    path.touch(mode=0o644)
    with path.open("rb") as opened_before:
        copy(job, rows_of("private"))
        assert opened_before.read() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_invalid_row_has_an_error_and_no_prediction(job: BatchJob) -> None:
    copy(job, [*rows_of("good"), InvalidRow("row 2", "There is no text", "7")])
    assert parts.predict_part(job, 0) == Counts(rows=2, errors=1, positive=1)
    table = parquet.read_table(parts.part_path(job, 0)).to_pylist()
    missing = dict.fromkeys(("label", "probability", "words", "unknown"))
    assert table[1] == {"row": 2, "id": "7", "error": "There is no text", **missing}
    assert table[0]["error"] is None


def test_part_may_have_invalid_rows_only(job: BatchJob) -> None:
    copy(job, [InvalidRow(f"row {number}", "no text", None) for number in (1, 2)])
    assert parts.predict_part(job, 0) == Counts(rows=2, errors=2, positive=0)
    assert parts.read_part_counts(job, parts.part_path(job, 0)) == Counts(2, 2, 0)


def test_part_has_no_text(job: BatchJob) -> None:
    copy(job, rows_of("good private"))
    parts.predict_part(job, 0)
    assert b"private" not in parts.part_path(job, 0).read_bytes()


@pytest.mark.parametrize(
    "name", ["predictions:v1", "file:out", "~/x", "s3:", b"\xff".decode("utf-8", "surrogateescape")]
)
def test_any_folder_name_is_a_path(
    job: BatchJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    here = job._replace(folder=Path(name))
    (here.folder / parts.PARTS).mkdir(parents=True)
    copy(here, rows_of("good"))
    counts = parts.predict_part(here, 0)
    assert parts.read_part_counts(here, parts.part_path(here, 0)) == counts
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
        parts.TEXT_COPY,
        parts.PARTS,
    ]


@pytest.mark.parametrize("metadata", ["[]", "7", "{", '{"inputs": {}}', '{"counts": [1, 2, 3]}'])
def test_part_with_damaged_metadata_is_not_finished(job: BatchJob, metadata: str) -> None:
    path = parts.part_path(job, 0)
    table = pyarrow.table({"row": [1]}).replace_schema_metadata({parts.METADATA_KEY: metadata})
    parquet.write_table(table, path)
    assert parts.read_part_counts(job, path) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1"])
def test_cut_part_is_not_finished(job: BatchJob, content: bytes) -> None:
    path = parts.part_path(job, 0)
    path.write_bytes(content)
    assert parts.read_part_counts(job, path) is None


def test_part_of_other_inputs_is_refused(job: BatchJob) -> None:
    copy(job, rows_of("good"))
    parts.predict_part(job, 0)
    other = job._replace(inputs={**INPUTS, "id_column": None})
    with pytest.raises(UserError, match="predictions with another id_column"):
        parts.read_part_counts(other, parts.part_path(job, 0))


def test_failed_write_leaves_no_file(job: BatchJob, monkeypatch: pytest.MonkeyPatch) -> None:
    copy(job, rows_of("good"))

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(parquet, "write_table", fail)
    with pytest.raises(OSError, match="no space left"):
        parts.predict_part(job, 0)
    assert list((job.folder / parts.PARTS).iterdir()) == []


def test_threads_take_turns_at_the_model(
    job: BatchJob, model: SentimentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_texts = model.predict_texts
    inside = Lock()

    def predict_alone(texts: Sequence[str]) -> list[Prediction]:
        assert inside.acquire(blocking=False)
        time.sleep(0.01)  # long enough for another thread to come
        inside.release()
        return predict_texts(texts)

    monkeypatch.setattr(model, "predict_texts", predict_alone)
    monkeypatch.setattr(parts, "PART_ROWS", 1)
    copy(job, rows_of(*"abcdefgh"))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(partial(parts.predict_part, job), range(8)))
    assert counts == [Counts(1, 0, 0)] * 8
