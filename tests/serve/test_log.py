"""The log has a line for each text, which only its owner can read."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.serve.log import PredictionLog
from tests.full_disk import full_disk
from tests.serve.stub_model import StubModel

VERSION = "models:/stub/3"


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


def append(log: PredictionLog, *texts: str) -> None:
    log.append(VERSION, "mine", texts, StubModel().predict_texts(texts))


def read_lines(log: PredictionLog) -> list[dict[str, Any]]:
    (path,) = log.folder.iterdir()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_text_of_a_request_has_a_line(log: PredictionLog) -> None:
    append(log, "naïve zzzunheard ☃\n", "dull b c d e f")
    first, second = read_lines(log)
    time = datetime.fromisoformat(first.pop("time"))
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60
    probability = 1 / (1 + len("naïve zzzunheard ☃\n"))
    assert first == {
        "request_id": "mine-0",
        "version": VERSION,
        "text": "naïve zzzunheard ☃\n",
        "label": "positive",
        "probabilities": {"negative": 1 - probability, "positive": probability},
        "words": 3,
        "unknown_words": 1,
        "truncated": False,
    }
    assert (second["request_id"], second["truncated"]) == ("mine-1", True)


def test_only_the_owner_can_read_the_log(log: PredictionLog) -> None:
    before = os.umask(0)
    try:
        append(log, "a")
    finally:
        os.umask(before)
    (path,) = log.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert log.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", ["/proc/log", __file__], ids=["proc", "file"])
def test_folder_that_cannot_be_written_is_refused(folder: str) -> None:
    with pytest.raises(UserError, match=f"cannot be logged in {folder}: .*Choose another folder"):
        PredictionLog(Path(folder)).check()


def test_full_disk_is_reported_once_until_writing_works(
    log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        append(log, "kept")
        (path,) = log.folder.iterdir()
        with full_disk(path.stat().st_size):
            append(log, "lost")
            append(log, "lost")
    append(log, "kept")
    assert [line["text"] for line in read_lines(log)] == ["kept"] * 3
    assert capsys.readouterr().err.count("Predictions are not logged: ") == 2
