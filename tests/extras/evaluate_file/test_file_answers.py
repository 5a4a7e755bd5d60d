"""Answers to labelled texts come in one table, whatever their number, and are compared with the
test set's."""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from extras.common import significance
from extras.evaluate_file import file_answers as answers
from sentiment.data.rows import Row
from sentiment.scoring.metrics import Predictions, class_names
from sentiment.text import Reviews, Word, fingerprints, known_words

RANKS = {"good": 1, "bad": 2, "film": 3}


class ByCount:
    """A reader whose answer is the share of good words."""

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        shares = [sum(word.rank == 1 for word in words) / max(1, len(words)) for words in texts]
        return np.array(shares, np.float32)


def asked(count: int, *trained_on: list[int]) -> pd.DataFrame:
    """The answers to so many texts; all but `bad` are labelled positive."""
    words = partial(known_words, ranks=RANKS)
    model: Any = SimpleNamespace(reader=ByCount(), threshold=0.4, words=words)
    texts = ["Good film.", "bad film", "bad", "?"]
    rows = [Row(f"row {number}", texts[number % 4], "1", "") for number in range(count)]
    reviews = Reviews.from_lists([*trained_on], np.zeros(len(trained_on), np.uint8))
    return answers.ask(model, rows, lambda row: row.text != "bad", fingerprints(reviews))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9])
def test_any_number_of_texts_gives_a_row_each(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 4)
    table = asked(count)
    assert table["review"].tolist() == list(range(1, count + 1))
    assert table["probability"].tolist() == ([0.5, 0, 0, 0] * 3)[:count]
    assert table["words"].tolist() == ([2, 2, 1, 0] * 3)[:count]


def test_only_wrong_answers_keep_their_texts() -> None:
    table = asked(4)
    assert table["actual"].tolist() == ["positive", "positive", "negative", "positive"]
    assert table["text"].tolist() == ["", "bad film", "", "?"]


def test_texts_that_were_trained_on_are_marked() -> None:
    assert asked(4, [2])["seen_in_training"].tolist() == [False, False, True, False]


def predictions(right: int, wrong: int) -> Predictions:
    """So many right and wrong answers to positive and to negative reviews each."""
    actual = np.repeat([True, False], right + wrong)
    predicted = np.where(np.tile(np.arange(right + wrong) < right, 2), actual, ~actual)
    columns = {
        "actual": class_names(actual),
        "predicted": class_names(predicted),
        "probability": np.where(predicted, 0.75, 0.25).astype(np.float32),
        "words": 1,
        "seen_in_training": False,
    }
    return Predictions(pd.DataFrame(columns), 10)


def test_metrics_stand_beside_those_of_the_test_set() -> None:
    metrics = answers.compared(predictions(6, 4), predictions(18, 2))
    accuracy = metrics["accuracy"]
    assert (accuracy.here, accuracy.there) == (0.6, 0.9)
    assert accuracy.interval == significance.wilson(12, 20, 0.95)
    assert accuracy.difference == significance.proportions_difference((36, 40), (12, 20), 0.95)
    assert (metrics["recall"].here, metrics["specificity"].there) == (0.6, 0.9)
    assert metrics["balanced_accuracy"].here == pytest.approx(0.6)
    assert metrics["ece"].here == pytest.approx(0.15)
    assert answers.numbers(metrics)["difference_accuracy"] == pytest.approx(-0.3)
    assert "accuracy            0.6000  " in answers.table(metrics)
