"""Answers to labelled texts come in one table, whatever their number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.evaluate_file import file_answers as answers
from sentiment.data.rows import Row
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import KERAS, ReadLimits, Reviews, review_hashes

RANKS = {"good": 1, "bad": 2, "film": 3}


class ByCount:
    """A reader whose answer is the share of good words."""

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        shares = [ranks.count(1) / max(1, len(ranks)) for ranks in texts]
        return np.array(shares, np.float32)


def asked(count: int, *trained_on: list[int]) -> pd.DataFrame:
    """The answers to so many texts; all but `bad` are labelled positive."""
    model: Any = SentimentModel()
    model.word_index, model.tokenizer, model.threshold = RANKS, KERAS, 0.4
    model.limits = ReadLimits(max_rank=len(RANKS), max_words=100)
    model.classifier = ByCount()
    texts = ["Good film.", "bad film", "bad", "?"]
    rows = [Row(f"row {number}", texts[number % 4], "1", "") for number in range(count)]
    reviews = Reviews.from_lists([*trained_on], np.zeros(len(trained_on), np.uint8))
    return answers.ask(model, rows, lambda row: row.text != "bad", review_hashes(reviews))


def test_any_number_of_texts_gives_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 4)
    for count in (0, 4, 9):
        table = asked(count)
        assert table["review"].tolist() == list(range(1, count + 1))
        assert table["probability"].tolist() == ([0.5, 0, 0, 0] * 3)[:count]
        assert table["words"].tolist() == ([2, 2, 1, 0] * 3)[:count]


def test_wrong_answers_alone_keep_their_texts_and_those_trained_on_are_marked() -> None:
    table = asked(4, [2])
    assert table["actual"].tolist() == ["positive", "positive", "negative", "positive"]
    assert table["text"].tolist() == ["", "bad film", "", "?"]
    assert table["seen_in_training"].tolist() == [False, False, True, False]
