"""The log of predictions can be read by `parse_line`, whatever happened while it was written."""

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extras.common.prediction_log import LogLine, PredictionLog, parse_line
from sentiment.errors import UserError
from sentiment.prediction.pyfunc_model import Prediction

VERSION = "models:/stub/3"
PROBABILITIES = {"negative": 0.75, "positive": 0.25}


def append(log: PredictionLog, *texts: str, request_id: str = "id") -> None:
    """Log texts, of which the words that begin with `zzz` are unknown."""
    predictions = []
    for text in texts:
        words = text.split()
        unknown = sum(word.startswith("zzz") for word in words)
        predictions.append(
            Prediction(
                label="negative",
                probability=0.75,
                probabilities=PROBABILITIES,
                words=len(words),
                unknown_words=unknown,
                truncated=len(words) > 5,
            )
        )
    log.append(VERSION, request_id, texts, predictions)


def read_lines(log: PredictionLog) -> list[dict[str, Any]]:
    (path,) = log.folder.iterdir()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log", with_texts=False)


def fail_to_write(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_line_has_the_prediction_and_the_version_but_not_the_text(log: PredictionLog) -> None:
    append(log, "a zzzunheard fine film")
    (line,) = read_lines(log)
    time = datetime.fromisoformat(line.pop("time"))
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60
    assert line == {
        "version": VERSION,
        "words": 4,
        "unknown_share": 0.25,
        "truncated": False,
        "label": "negative",
        "probabilities": PROBABILITIES,
        "request_id": "id",
    }


def test_line_has_the_text_if_wanted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", with_texts=True)
    append(log, "naïve ☃\n")
    assert [line["text"] for line in read_lines(log)] == ["naïve ☃\n"]


def test_lines_of_a_request_with_several_texts_are_numbered(log: PredictionLog) -> None:
    append(log, "a", "b b b b b b")
    lines = read_lines(log)
    assert [line["request_id"] for line in lines] == ["id-0", "id-1"]
    assert [line["truncated"] for line in lines] == [False, True]


def test_text_without_words_has_no_unknown_words(log: PredictionLog) -> None:
    append(log, "")
    (line,) = read_lines(log)
    assert (line["words"], line["unknown_share"]) == (0, 0)


def test_file_is_named_after_the_day_in_utc(log: PredictionLog) -> None:
    before = datetime.now(UTC)
    append(log, "a")
    (path,) = log.folder.iterdir()
    assert path.name in {f"{time:%Y-%m-%d}.jsonl" for time in (before, datetime.now(UTC))}


def test_only_the_owner_can_read_the_log(log: PredictionLog) -> None:
    before = os.umask(0)
    try:
        append(log, "a")
    finally:
        os.umask(before)
    (path,) = log.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert log.folder.stat().st_mode & 0o777 == 0o700


def test_folder_that_can_be_written_is_created(log: PredictionLog) -> None:
    log.check()
    (path,) = log.folder.iterdir()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("folder", ["/proc/log", __file__], ids=["proc", "file"])
def test_folder_that_cannot_be_written_is_refused(folder: str) -> None:
    with pytest.raises(UserError, match=f"cannot be logged in {folder}: .*Choose another folder"):
        PredictionLog(Path(folder), with_texts=False).check()


def test_full_disk_is_reported_once_until_writing_works(
    log: PredictionLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", fail_to_write)
            append(log, "lost")
            append(log, "lost")
        append(log, "written")
    assert len(read_lines(log)) == 2
    message = "Predictions are not logged: [Errno 28] No space left on device\n"
    assert capsys.readouterr().err == 2 * message


def test_line_that_a_full_disk_cut_does_not_spoil_the_next_one(
    log: PredictionLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        append(log, "a", request_id="cut")
    append(log, "b", request_id="whole")
    (path,) = log.folder.iterdir()
    cut, whole = path.read_text(encoding="utf-8").splitlines()
    assert len(cut) == 20
    assert json.loads(whole)["request_id"] == "whole"
    assert "no space is left" in capsys.readouterr().err


def line(**changes: Any) -> bytes:
    logged = {
        "version": VERSION,
        "request_id": "id",
        "words": 3,
        "unknown_share": 0.5,
        "truncated": True,
        "label": "negative",
        "probabilities": PROBABILITIES,
    }
    return json.dumps({**logged, **changes}).encode()


def test_line_that_was_written_can_be_read(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", with_texts=True)
    append(log, "naïve ☃\n")
    (path,) = log.folder.iterdir()
    read = parse_line(path.read_bytes())
    assert read is not None
    assert (read.version, read.request_id, read.text) == (VERSION, "id", "naïve ☃\n")


def test_line_may_have_no_text() -> None:
    assert parse_line(line()) == LogLine(
        version=VERSION,
        request_id="id",
        words=3,
        unknown_share=0.5,
        truncated=True,
        label="negative",
        probabilities=PROBABILITIES,
    )


@pytest.mark.parametrize(
    "damaged",
    [
        line()[:40],
        b"[]",
        b"[" * 100_000,
        b'{"version": "caf\xe9"}',
        line(request_id=["id"]),
        line(label="neutral"),
        line(probabilities={"positive": 0.25}),
        line(probabilities=PROBABILITIES | {"negative": "high"}),
        line(probabilities=PROBABILITIES | {"negative": float("nan")}),
        line(probabilities=PROBABILITIES | {"negative": 1.5}),
        line(words=[1]),
        line(words=10**400),
        line(words=-1),
        line(unknown_share=2),
        line(text=5),
        line(text=["a"]),
        line(text="\ud800"),
    ],
    ids=lambda damaged: str(damaged[-40:]),
)
def test_damaged_line_cannot_be_read(damaged: bytes) -> None:
    assert parse_line(damaged) is None
