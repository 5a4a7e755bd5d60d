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
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import KERAS, ReadLimits, Reviews, review_hashes
from workflow.params import Params

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


def test_id_without_exactly_one_prediction_is_missing(tmp_path: Path) -> None:
    for name, lines in (
        ("a.jsonl", log_line("a", 0.9) + log_line("twice", 0.9)),
        ("b.jsonl", log_line("b", 0.1) + log_line("twice", 0.1) + log_line("b", 0.1)),
    ):
        (tmp_path / name).write_text(lines)
    labels = dict.fromkeys(["a", "b", "twice", "none"], True)
    table, missing = predictions.read_logged(sorted(tmp_path.iterdir()), VERSION, labels, 0.5)
    assert table["predicted"].tolist() == ["positive", "negative"]
    assert missing == ["twice", "none"]


def test_lines_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    damaged = log_line("a", 0.9)[:40] + "\n" + log_line("a", "high")
    path = tmp_path / "a.jsonl"
    path.write_text(damaged + log_line("a", 0.9))
    table, missing = predictions.read_logged([path], VERSION, {"a": True}, 0.5)
    assert table["predicted"].tolist() == ["positive"]
    assert missing == []


def test_metrics_of_unseen_texts_are_left_out_if_the_training_set_is_not_known(
    default_params: Params,
) -> None:
    params = default_params.evaluate
    table = predict(8, [2])
    known = predictions.evaluate_table(table, "file", "run", params)
    without = table.drop(columns="seen_in_training")
    unknown = predictions.evaluate_table(without, "file", "run", params)
    assert known.metrics["test_reviews_seen"] == 2
    assert known.metrics.keys() - unknown.metrics.keys() == {
        "test_accuracy_unseen",
        "test_reviews_seen",
    }
    assert "seen_in_training" not in unknown.tables["predictions"]
