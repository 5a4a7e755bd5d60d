"""Explain a prediction by the attribution of each word."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentiment.prediction.explanation import log_odds
from sentiment.prediction.pyfunc_model import SentimentModel
from sentiment.text import tokenizer
from sentiment.text.padding import Layout
from tests.models import text_model

pytestmark = pytest.mark.slow
LAYOUT = Layout(num_words=20, max_length=6, padding="pre", truncating="pre")
LABELS = ["negative", "positive"]
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}
CONTENT = "Well: a FINE film, rare"
LONG = "dull " * 4 + "a fine film a fine film"


@pytest.fixture(scope="module")
def served_once() -> SentimentModel:
    """Return a small untrained model."""
    return text_model(RANKS, LAYOUT)


@pytest.fixture
def served(served_once: SentimentModel, monkeypatch: pytest.MonkeyPatch) -> SentimentModel:
    """Return the model, whose layout a test may change."""
    monkeypatch.setattr(served_once.classifier, "layout", LAYOUT)
    return served_once


def test_attribution_compares_a_word_with_an_unknown_one(served: SentimentModel) -> None:
    explanation = served.explain(CONTENT)
    assert [CONTENT[w.start : w.end] for w in explanation.words] == ["a", "FINE", "film", "rare"]
    ranks = [
        tokenizer.encode(content, RANKS, tokenizer.KERAS).ranks
        for content in (CONTENT, "a rare film rare")
    ]
    label = LABELS.index(explanation.label)
    whole, without = served.classifier.predict(ranks)[:, label]
    assert explanation.probability == whole
    effect = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert explanation.words[1].log_odds == pytest.approx(effect, abs=1e-5)
    assert explanation.words[3].log_odds == 0  # its rank is too large, so it is unknown anyway


def test_another_label_than_the_predicted_one_can_be_explained(served: SentimentModel) -> None:
    explanation = served.explain(CONTENT)
    (other,) = {*LABELS} - {explanation.label}
    chosen = served.explain(CONTENT, other)
    assert chosen.label == other
    assert chosen.probability == explanation.probabilities[other]
    expected = [-word.log_odds for word in explanation.words]  # there are two labels
    assert [word.log_odds for word in chosen.words] == pytest.approx(expected)


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize(
    ("truncating", "starts"), [("pre", [20, 22, 27, 32, 34, 39]), ("post", [0, 5, 10, 15, 20])]
)
def test_truncated_words_have_no_attribution(
    served: SentimentModel,
    padding: Any,
    truncating: Any,
    starts: list[int],
) -> None:
    served.classifier.layout = replace(LAYOUT, padding=padding, truncating=truncating)
    assert [word.start for word in served.explain(LONG).words] == starts


@pytest.mark.parametrize("text", ["unheard of", ""])
def test_text_without_known_words_has_a_prediction_and_no_attributions(
    served: SentimentModel, text: str
) -> None:
    explanation = served.explain(text)
    assert explanation.words == []
    (prediction,) = served.predict_texts([text])
    assert explanation[:3] == prediction[:3]


def test_log_odds_are_finite_even_for_certain_predictions() -> None:
    first = np.array([0, 0.5, 0.75, 1], np.float32)
    low, *middle, high = log_odds(np.stack([first, 1 - first], axis=1), 0)
    assert middle == pytest.approx([0, np.log(3)])
    assert -20 < low < -15
    assert high == pytest.approx(-low)
