"""Predictions for labeled texts are one table, whatever their number."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.evaluate_file import predictions
from sentiment.data.rows import Row
from sentiment.errors import UserError
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import KERAS, ReadLimits, Reviews, review_hashes

RANKS = {"good": 1, "bad": 2, "film": 3}


class ShareOfGood:
    """A classifier with the share of good words as its probability."""

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        shares = [ranks.count(1) / max(1, len(ranks)) for ranks in texts]
        return np.array(shares, np.float32)


def predict(count: int, *trained_on: list[int]) -> pd.DataFrame:
    """Predict `count` texts. All but `bad` are labeled positive."""
    model: Any = SentimentModel()
    model.word_index = RANKS
    model.tokenizer = KERAS
    model.threshold = 0.4
    model.limits = ReadLimits(max_rank=len(RANKS), max_words=100)
    model.classifier = ShareOfGood()
    texts = ["Good film.", "bad film", "bad", "?"]
    rows = [Row(f"row {number}", texts[number % 4], "1") for number in range(count)]
    reviews = Reviews.from_lists([*trained_on], np.zeros(len(trained_on), np.uint8))
    known = review_hashes(reviews)
    return predictions.predict_rows(model, rows, lambda row: row.text != "bad", known)


def test_any_number_of_texts_gives_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BATCH_ROWS", 4)
    for count in (0, 4, 9):
        table = predict(count)
        assert table["review"].tolist() == list(range(1, count + 1))
        assert table["probability"].tolist() == ([0.5, 0, 0, 0] * 3)[:count]
        assert table["words"].tolist() == ([2, 2, 1, 0] * 3)[:count]


def test_wrong_predictions_have_their_texts_and_training_texts_are_marked() -> None:
    table = predict(4, [2])
    assert table["actual"].tolist() == ["positive", "positive", "negative", "positive"]
    assert table["text"].tolist() == ["", "bad film", "", "?"]
    assert table["seen_in_training"].tolist() == [False, False, True, False]


VERSION = "models:/imdb-sentiment/2"


def log_line(request_id: str, probability: Any) -> str:
    line = {"words": 3, "unknown": 0.5, "truncated": False, "probability": probability}
    return json.dumps({"request_id": request_id, "version": VERSION, **line}) + "\n"


def test_predictions_are_read_from_a_folder_or_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(log_line("a", 0.9))
    (tmp_path / "b.jsonl").write_text(log_line("b", 0.1))
    for log, ids in ((tmp_path, "ab"), (tmp_path / "b.jsonl", "b")):
        table = predictions.read_logged(log, VERSION, dict.fromkeys(ids, True), 0.5)
        assert len(table) == len(ids)


def test_lines_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    damaged = log_line("a", 0.9)[:40] + "\n" + log_line("a", "high")
    (tmp_path / "a.jsonl").write_text(damaged + log_line("a", 0.9))
    table = predictions.read_logged(tmp_path, VERSION, {"a": True}, 0.5)
    assert table["predicted"].tolist() == ["positive"]


def test_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for log in (tmp_path, tmp_path / "gone", tmp_path / "gone.jsonl"):
        with pytest.raises(UserError, match="There is no log"):
            predictions.read_logged(log, VERSION, {"a": True}, 0.5)
