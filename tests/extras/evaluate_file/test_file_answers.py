"""Answers to labelled texts come in one table, whatever their number, and are compared with the
test set's."""

from collections.abc import Sequence
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
        return np.array(
            [sum(word.rank == 1 for word in words) / max(1, len(words)) for words in texts],
            np.float32,
        )


@pytest.fixture
def model() -> Any:
    return SimpleNamespace(
        reader=ByCount(), threshold=0.4, words=lambda text: known_words(text, RANKS)
    )


def asked(model: Any, count: int, known: set[int] = frozenset()) -> pd.DataFrame:  # type: ignore[assignment]
    texts = ["Good film.", "bad film", "bad", "?"]
    rows = [Row(f"row {number}", texts[number % 4], "1", "") for number in range(count)]
    return answers.ask(model, rows, lambda row: row.text != "bad", known)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9])
def test_any_number_of_texts_gives_a_row_each(
    model: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 4)
    table = asked(model, count)
    assert table["review"].tolist() == list(range(1, count + 1))
    assert (~table["seen_in_training"]).sum() == count
    assert table["probability"].tolist() == ([0.5, 0, 0, 0] * 3)[:count]
    assert table["words"].tolist() == ([2, 2, 1, 0] * 3)[:count]


def test_only_wrong_answers_keep_their_texts(model: Any) -> None:
    table = asked(model, 4)
    assert table["actual"].tolist() == ["positive", "positive", "negative", "positive"]
    assert table["text"].tolist() == ["", "bad film", "", "?"]


def test_texts_that_were_trained_on_are_marked(model: Any) -> None:
    trained = Reviews.from_lists([[2]], np.zeros(1, np.uint8))
    table = asked(model, 4, set(fingerprints(trained).tolist()))
    assert table["seen_in_training"].tolist() == [False, False, True, False]


def test_an_older_model_splits_as_imdb_s_were(model: Any) -> None:
    del model.words
    model.ranks = RANKS
    assert asked(model, 4)["words"].tolist() == [2, 2, 1, 0]


def predictions(right: int, wrong: int) -> pd.DataFrame:
    """So many right and wrong answers to positive and to negative reviews each."""
    actual = np.repeat([True, False], right + wrong)
    predicted = np.where(np.tile(np.arange(right + wrong) < right, 2), actual, ~actual)
    return pd.DataFrame(
        {
            "actual": class_names(actual),
            "predicted": class_names(predicted),
            "probability": np.where(predicted, 0.75, 0.25).astype(np.float32),
            "words": 1,
            "seen_in_training": False,
        }
    )


def test_metrics_stand_beside_those_of_the_test_set() -> None:
    here, there = Predictions(predictions(6, 4), 10), Predictions(predictions(18, 2), 10)
    found = {row.name: row for row in answers.compared(here, there, 0.95)}
    accuracy = found["accuracy"]
    assert (accuracy.here, accuracy.there) == (0.6, 0.9)
    assert accuracy.interval == significance.wilson(12, 20, 0.95)
    assert accuracy.difference == significance.proportions_difference((36, 40), (12, 20), 0.95)
    assert (found["recall"].here, found["specificity"].there) == (0.6, 0.9)
    assert found["balanced_accuracy"].here == pytest.approx(0.6)
    assert found["ece"].here == pytest.approx(0.15)
    assert answers.intervals([accuracy])["difference_accuracy"] == pytest.approx(-0.3)
    assert "accuracy            0.6000  " in answers.table([accuracy], 0.95)
