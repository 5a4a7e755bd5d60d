"""Texts are read from logs, which may be damaged, and from files."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from extras.monitor import window
from extras.monitor.window import Window
from sentiment.serving.pyfunc_model import Prediction, SentimentModel

VERSION = "models:/imdb-sentiment/2"
ROW = [3, 0.5, 1, 0.25]


def line(**changes: Any) -> str:
    logged = {"words": 3, "unknown": 0.5, "truncated": True, "probability": 0.25}
    time = "2026-01-02T03:04:05+00:00"
    return json.dumps({"time": time, "version": VERSION, "request_id": "a", **logged, **changes})


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read(path: Path) -> Window:
    texts = Window()
    window.read_log(window.find_logs(path), VERSION, texts)
    return texts


class WordCounter:
    """Stands in for a model: every word is known and every text positive."""

    def predict_texts(self, texts: list[str]) -> list[Prediction]:
        return [
            Prediction("positive", np.float32(0.75), len(text.split()), 0, False) for text in texts
        ]


def test_all_files_of_a_log_are_read(tmp_path: Path) -> None:
    write(tmp_path / "log/2026-01-03.jsonl", line(words=5, truncated=False, text="né"))
    write(tmp_path / "log/2026-01-02.jsonl", line(), "", line(words=4))
    texts = read(tmp_path / "log")
    assert texts.to_table().to_numpy().tolist() == [ROW, [4, 0.5, 1, 0.25], [5, 0.5, 0, 0.25]]
    assert texts.sample == ["né"]
    assert texts.rows == 3


def test_lines_of_other_versions_are_counted(tmp_path: Path) -> None:
    other = line(version="models:/imdb-sentiment/1")
    texts = read(write(tmp_path / "log.jsonl", line(), other, other))
    assert (len(texts), texts.other_versions, texts.unreadable) == (1, 2, 0)
    assert texts.rows == 3


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    texts = read(write(tmp_path / "log.jsonl", line()[:40], line(), line(probability="high")))
    assert texts.to_table().to_numpy().tolist() == [ROW]
    assert texts.unreadable == 2
    assert texts.rows == 3


def test_file_is_a_log_by_its_first_lines(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", line()[:10], line())
    assert window.find_logs(log) == [log]
    texts = write(tmp_path / "b.jsonl", '{"text": "fine"}')
    assert window.find_logs(texts) == []
    assert window.find_logs(write(tmp_path / "c.csv", line())) == []


def test_rows_of_a_file_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_bytes(b"text\na fine film\n" + "caf\xe9\n".encode("latin-1") * 3 + b"good\n")
    texts = Window()
    window.read_file(str(path), "text", 100, cast(SentimentModel, WordCounter()), texts)
    assert texts.to_table().to_numpy().tolist() == [[3, 0, 0, 0.75], [1, 0, 0, 0.75]]
    assert texts.sample == ["a fine film", "good"]
    assert texts.unreadable == 3


def test_sample_is_drawn_at_random_from_all_texts() -> None:
    drawn = set()
    for _ in range(20):
        texts = Window(max_sample=10)
        for number in range(50):
            texts.add(ROW, str(number))
        texts.add(ROW, None)
        assert len(texts) == 51
        assert len(set(texts.sample)) == 10
        drawn |= set(texts.sample)
    assert len(drawn) > 40
