"""Texts are read from logs, which may be damaged, and from files."""

import json
from pathlib import Path
from typing import Any

from extras.monitor import window

MODEL = "models:/imdb-sentiment/2"


def line(**changes: Any) -> str:
    logged = {"words": 3, "unknown": 0.5, "truncated": True, "probability": 0.25}
    return json.dumps({"time": "2026-01-02T03:04:05+00:00", "version": MODEL, **logged, **changes})


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_all_files_of_a_log_are_read_but_for_other_models_and_damaged_lines(tmp_path: Path) -> None:
    other = line(version="models:/imdb-sentiment/1")
    write(tmp_path / "log/2026-01-03.jsonl", line(words=5, truncated=False, text="né"), line()[:40])
    write(tmp_path / "log/2026-01-02.jsonl", line(), other, "[]", "", line(words=4))
    read = list(window.read_log(window.logs(tmp_path / "log"), MODEL))
    assert read == [
        ([3, 0.5, True, 0.25], None),
        ([4, 0.5, True, 0.25], None),
        ([5, 0.5, False, 0.25], "né"),
    ]


def test_a_file_is_a_log_by_its_first_line(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", line())
    assert window.logs(log) == [log]
    texts = write(tmp_path / "b.jsonl", '{"text": "fine"}', line())
    assert window.logs(texts) == []
    assert window.logs(write(tmp_path / "c.csv", line())) == []


def test_all_numbers_and_at_most_so_many_texts_are_kept() -> None:
    seen = [([number, 0.0, 0.0, 0.5], str(number)) for number in range(50)]
    table, sample = window.collect([*seen, ([50, 0.0, 0.0, 0.5], None)], 10)
    assert table["words"].tolist() == list(range(51))
    assert len(set(sample)) == 10
    assert sample != window.collect(seen, 10)[1]  # who labels a second time labels others
