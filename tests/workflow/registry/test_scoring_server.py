"""What a scoring server logs of its answers, and what it never does: fail over the log."""

import fcntl
import json
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Encoded, ReadLimits
from workflow.registry import scoring_server
from workflow.registry.scoring_server import FOLDER, REQUEST, TEXTS, VERSION, Log, append

READ = [Encoded([1, 2, 9], 4), Encoded([], 0)]
ROWS = (["A fine film, unheard", ""], READ, np.array([0.75, 0.5], np.float32))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The log of a model that reads two words, of rank 3 at most."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "logs" / "log"))
    monkeypatch.setenv(VERSION, "models:/m/3")
    monkeypatch.setenv(TEXTS, "0")
    REQUEST.set("r")
    model = SentimentModel()
    model.limits = ReadLimits(3, 2)
    return Log(model)


def lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines in the files of a log, by their names."""
    paths = sorted(folder.glob("logs/log/*"))
    return {path.name: [*map(json.loads, path.read_text().splitlines())] for path in paths}


def test_a_text_is_a_line_without_the_text(log: Log, tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    log(*ROWS)
    ((name, (first, second)),) = lines(tmp_path).items()
    time = datetime.fromisoformat(first.pop("time"))
    assert before <= time <= datetime.now(UTC)
    assert name == f"{time:%Y-%m-%d}.jsonl"
    expected = {"version": "models:/m/3", "words": 4, "unknown": 0.5, "truncated": True}
    assert first == {**expected, "probability": 0.75, "request_id": "r-0"}
    assert (second["words"], second["unknown"], second["truncated"]) == (0, 0, False)


def test_the_texts_are_in_the_log_if_they_are_wanted(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TEXTS, "1")
    odd = "é \ud800 \n\u2028"
    log([odd], READ[:1], [0.5])
    ((line,),) = lines(tmp_path).values()
    assert line["text"] == odd


def test_a_day_of_utc_has_a_file(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        moment = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)

        @classmethod
        def now(cls, zone: Any) -> datetime:
            cls.moment += timedelta(microseconds=1) if zone is UTC else timedelta(days=9)
            return cls.moment - timedelta(microseconds=1)

    monkeypatch.setattr(scoring_server, "datetime", Clock)
    log(*ROWS)
    log(*ROWS)
    written = lines(tmp_path)
    assert [*written] == ["2026-02-28.jsonl", "2026-03-01.jsonl"]
    assert written["2026-02-28.jsonl"][1]["time"] == "2026-02-28T23:59:59.999+00:00"


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """Let no file become larger: what is written is cut, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_lines_for_which_there_is_no_room_are_lost_whole_and_an_outage_is_told_once(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(*ROWS)
    (path,) = tmp_path.glob("logs/log/*")
    size = path.stat().st_size
    for _ in range(2):
        with file_size(size + 100):
            log(*ROWS)
            log(*ROWS)
        assert capsys.readouterr().err.count("Answers are not logged: no room is left") == 1
        log(*ROWS)
        size = path.stat().st_size
    assert [len(rows) for rows in lines(tmp_path).values()] == [6]


def test_a_folder_that_cannot_be_written_costs_the_lines_only(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("in its place", encoding="utf-8")
    log(*ROWS)
    assert "Answers are not logged: " in capsys.readouterr().err
    (tmp_path / "logs").unlink()
    log(*ROWS)
    assert [len(rows) for rows in lines(tmp_path).values()] == [2]


def test_lines_that_several_threads_write_at_once_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "log" / "day"
    with ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(append, path, f"{json.dumps([number % 8] * 10 * number)}\n".encode())
    (rows,) = lines(tmp_path).values()
    assert sorted(map(len, rows)) == [10 * number for number in range(400)]
    assert all(len(set(row)) <= 1 for row in rows)


def test_a_writer_waits_for_one_that_may_have_to_take_its_lines_back(tmp_path: Path) -> None:
    path = tmp_path / "day"
    with ThreadPoolExecutor() as pool:
        with path.open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            writing = pool.submit(append, path, b"{}\n")
            with pytest.raises(TimeoutError):
                writing.result(timeout=0.1)
        writing.result(timeout=60)
    assert path.read_bytes() == b"{}\n"
