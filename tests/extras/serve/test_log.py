"""The log has whole lines, whatever happens while it is written."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extras.serve.log import PredictionLog
from sentiment.errors import UserError
from tests.extras.serve.stub_model import StubModel
from tests.full_disk import full_disk

VERSION = "models:/stub/3"
# A process that logs two texts of a thousand characters, a hundred times
WRITER = """
import sys
from pathlib import Path
from types import SimpleNamespace
from extras.serve.log import PredictionLog
prediction = SimpleNamespace(label="a", probabilities={}, words=1, unknown_words=0, truncated=False)
log = PredictionLog(Path(sys.argv[1]))
for number in range(100):
    log.append("models:/stub/3", f"{sys.argv[2]}-{number}", ["x" * 1000] * 2, [prediction] * 2)
"""


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


def test_full_disk_loses_whole_lines_and_is_reported_once_until_writing_works(
    log: PredictionLog, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        append(log, f"kept {number}")
        (path,) = log.folder.iterdir()
        with full_disk(path.stat().st_size + 20):
            append(log, "lost")
            append(log, "lost")
    append(log, "kept 2")
    assert [line["text"] for line in read_lines(log)] == ["kept 0", "kept 1", "kept 2"]
    assert capsys.readouterr().err.count("Predictions are not logged: ") == 2


@pytest.mark.slow
def test_processes_share_a_log(log: PredictionLog) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(log.folder), str(number)])
        for number in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    ids = [line["request_id"] for line in read_lines(log)]
    assert len(set(ids)) == len(ids) == 600
    assert all(
        second == first[:-1] + "1" for first, second in zip(ids[::2], ids[1::2], strict=True)
    )
