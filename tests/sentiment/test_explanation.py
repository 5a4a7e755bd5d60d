"""What each word did to an answer, and the answer after each word."""

from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from sentiment import tokenizer
from sentiment.explanation import (
    Explanation,
    PrefixPrediction,
    WordAttribution,
    explain,
    prefix_predictions,
)
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.serving.keras_classifier import BatchPredictor, KerasClassifier
from sentiment.serving.pyfunc_model import SentimentModel
from tests.conftest import inputs
from tests.sentiment.network.test_training import small
from workflow.params import Params

pytestmark = pytest.mark.usefixtures("backend")
RANKS = {"a": 1, "fine": 2, "dull": 3, "film": 4, "rare": 90}
CONTENT, LONG = "Well: a FINE film, rare", "dull " * 4 + "a fine film a fine film"


@pytest.fixture(scope="module")
def ask(backend: None) -> BatchPredictor:  # noqa: ARG001
    """A small untrained network."""
    return BatchPredictor(build_model(small(), inputs(20, 6)), 4)


@pytest.fixture
def reader(ask: BatchPredictor, small_params: Params) -> KerasClassifier:
    return KerasClassifier(ask, replace(layout(small_params.pad), num_words=20, max_length=6))


@pytest.fixture
def served(reader: KerasClassifier) -> SentimentModel:
    model = SentimentModel()
    model.word_index, model.tokenizer, model.threshold = RANKS, tokenizer.KERAS, 0.5
    model.limits = tokenizer.ReadLimits.from_layouts([asdict(reader.layout)], len(RANKS))
    model.classifier = reader
    return model


def test_each_word_is_held_against_an_unknown_one(
    served: SentimentModel, reader: KerasClassifier
) -> None:
    explanation = explain(served, CONTENT)
    assert [CONTENT[w.start : w.end] for w in explanation.words] == ["a", "FINE", "film", "rare"]
    ranks = [tokenizer.encode(content, RANKS).ranks for content in (CONTENT, "a rare film rare")]
    whole, without = reader.predictor(tokenizer.pad_ranks(ranks, reader.layout))
    assert explanation.probability == float(whole)
    effect = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert explanation.words[1].log_odds == pytest.approx(effect, abs=1e-5)
    assert explanation.words[3].log_odds == 0  # beyond num_words it is unknown anyway


def test_each_step_of_a_trace_is_the_answer_to_the_text_cut_there(served: SentimentModel) -> None:
    steps = prefix_predictions(served, CONTENT)
    assert [CONTENT[step.start : step.end] for step in steps] == ["a", "FINE", "film", "rare"]
    cut = pd.DataFrame({"text": [CONTENT[: step.end] for step in steps]})
    answers = served.predict(None, cut)["probability"].tolist()
    assert [step.probability for step in steps] == answers


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize(
    ("truncating", "starts"), [("pre", [20, 22, 27, 32, 34, 39]), ("post", [0, 5, 10, 15, 20])]
)
def test_words_that_are_cut_off_have_no_part_and_a_trace_ends_at_the_answer(
    served: SentimentModel,
    reader: KerasClassifier,
    padding: Any,
    truncating: Any,
    starts: list[int],
) -> None:
    reader.layout = replace(reader.layout, padding=padding, truncating=truncating)
    steps, explanation = prefix_predictions(served, LONG), explain(served, LONG)
    assert [word.start for word in explanation.words] == starts
    assert [step.start for step in steps] == starts
    assert steps[-1].probability == explanation.probability


def test_a_text_without_known_words_is_explained_by_none(served: SentimentModel) -> None:
    explanation = explain(served, "unheard of")
    assert (explanation.words, prefix_predictions(served, "unheard of")) == ([], [])
    assert 0 < explanation.probability < 1


def test_a_model_that_brought_code_to_explain_itself_does_so() -> None:
    words, steps = [WordAttribution(0, 1, 2.0)], [PrefixPrediction(0, 1, 0.75)]
    explanation = Explanation("positive", 0.75, words)
    earlier = SimpleNamespace(explain=lambda _: explanation, trace=lambda _: steps)
    assert explain(cast(SentimentModel, earlier), "a") is explanation
    assert prefix_predictions(cast(SentimentModel, earlier), "a") is steps
