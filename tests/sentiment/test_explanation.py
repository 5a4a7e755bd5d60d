"""Explain a prediction by attributions of words and by predictions of prefixes."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentiment import tokenizer
from sentiment.explanation import (
    explain,
    prefix_predictions,
)
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.serving.keras_classifier import BatchPredictor, KerasClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from tests.conftest import inputs
from tests.sentiment.network.test_training import small_train_params
from workflow.params import Params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}
CONTENT = "Well: a FINE film, rare"
LONG = "dull " * 4 + "a fine film a fine film"


@pytest.fixture(scope="module")
def predictor(backend: None) -> BatchPredictor:  # noqa: ARG001
    """Return a small untrained network."""
    return BatchPredictor(build_model(small_train_params(), inputs(20, 6)), 4)


@pytest.fixture
def classifier(predictor: BatchPredictor, small_params: Params) -> KerasClassifier:
    return KerasClassifier(predictor, replace(layout(small_params.pad), num_words=20, max_length=6))


@pytest.fixture
def served(classifier: KerasClassifier) -> SentimentModel:
    model = SentimentModel()
    model.word_index = RANKS
    model.tokenizer = tokenizer.KERAS
    model.threshold = 0.5
    model.limits = tokenizer.ReadLimits.from_layouts([asdict(classifier.layout)])
    model.classifier = classifier
    return model


def test_attribution_compares_a_word_with_an_unknown_one(
    served: SentimentModel, classifier: KerasClassifier
) -> None:
    explanation = explain(served, CONTENT)
    assert [CONTENT[w.start : w.end] for w in explanation.words] == ["a", "FINE", "film", "rare"]
    ranks = [tokenizer.encode(content, RANKS).ranks for content in (CONTENT, "a rare film rare")]
    whole, without = classifier.predictor(tokenizer.pad_ranks(ranks, classifier.layout))
    assert explanation.probability == float(whole)
    effect = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert explanation.words[1].log_odds == pytest.approx(effect, abs=1e-5)
    assert explanation.words[3].log_odds == 0  # its rank is too large, so it is unknown anyway


def test_prefix_prediction_is_the_prediction_for_the_prefix(served: SentimentModel) -> None:
    prefixes = prefix_predictions(served, CONTENT)
    words = [CONTENT[prefix.start : prefix.end] for prefix in prefixes]
    assert words == ["a", "FINE", "film", "rare"]
    cut = pd.DataFrame({"text": [CONTENT[: prefix.end] for prefix in prefixes]})
    probabilities = served.predict(None, cut)["probability"].tolist()
    assert [prefix.probability for prefix in prefixes] == probabilities


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize(
    ("truncating", "starts"), [("pre", [20, 22, 27, 32, 34, 39]), ("post", [0, 5, 10, 15, 20])]
)
def test_truncated_words_have_no_attribution_and_the_last_prefix_is_the_text(
    served: SentimentModel,
    classifier: KerasClassifier,
    padding: Any,
    truncating: Any,
    starts: list[int],
) -> None:
    classifier.layout = replace(classifier.layout, padding=padding, truncating=truncating)
    prefixes = prefix_predictions(served, LONG)
    explanation = explain(served, LONG)
    assert [word.start for word in explanation.words] == starts
    assert [prefix.start for prefix in prefixes] == starts
    assert prefixes[-1].probability == explanation.probability


def test_text_without_known_words_has_no_attributions(served: SentimentModel) -> None:
    explanation = explain(served, "unheard of")
    assert (explanation.words, prefix_predictions(served, "unheard of")) == ([], [])
    assert 0 < explanation.probability < 1
