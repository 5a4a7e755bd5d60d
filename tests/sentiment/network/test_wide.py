"""The prediction is a weighted mean of a network and of a linear model, trained separately."""

from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.explanation import explain, prefix_predictions
from sentiment.network.initial_weights import wide_weights
from sentiment.network.model import HASH_PRIMES, Inputs, build_model, layer_inputs, save_model
from sentiment.network.progress import NO_PROGRESS
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import CURVES, parts, prepared, small, validated
from tests.sentiment.serving.test_pyfunc_model import load, packed
from workflow.params import Params

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
WIDE = {"wide": {"buckets": 1000, "min_reviews": 1}}
# features of five reviews: 1 says positive, 2 negative, 3 nothing; 4 is in one review, 0 is none
FEATURES = np.array([[0, 1, 1, 3], [0, 1, 4, 0], [2, 2, 2, 0], [0, 3, 2, 3], [0, 1, 1, 3]])
LABELS = np.array([1, 1, 0, 0, 1], np.uint8)


def log_odds(model: "keras.Model", x: np.ndarray, layer: str = "") -> np.ndarray:
    """Those of a model, or of what one of its layers answers."""
    asked = load_keras().Model(model.input, model.get_layer(layer).output) if layer else model
    p = np.asarray(asked(x), np.float64)
    return np.log(p / (1 - p))[:, 0]


def test_probability_is_the_weighted_mean_in_log_odds() -> None:
    params, (learning, (x, _)) = small(wide={**WIDE["wide"], "share": 0.75}), parts()
    model = prepared(params).model
    weights, bias = wide_weights(layer_inputs("wide", model, learning.x), learning.y, 1021, params)
    deep, whole = log_odds(model, x, "probability"), log_odds(model, x)
    for review, *both in zip(layer_inputs("wide", model, x), deep, whole, strict=True):
        distinct = np.unique(review[review > 0])
        linear = weights[distinct, 0].sum() / np.sqrt(len(distinct)) + bias[0]
        assert both[1] == pytest.approx(both[0] / 4 + 3 * linear / 4, abs=1e-5)


@pytest.mark.parametrize("ngrams", [2, 3])
def test_features_are_words_and_ngrams_of_known_words(ngrams: int) -> None:
    model = build_model(small(wide={**WIDE["wide"], "ngrams": ngrams}), Inputs(30_000, 6, 0, 2, 1))
    for text in ([29_000, 28_000, 27_000], [5, 29_000, 2, 6, 7, 8], [9], []):
        spans = [(at, at + size) for size in range(2, ngrams + 1) for at in range(7 - size)]
        grams = [text[start:end] for start, end in spans if end <= len(text)]
        sums = [sum(map(mul, gram[::-1], HASH_PRIMES)) for gram in grams if 2 not in gram]
        expected = sorted([*(word + 1 for word in text), *(30_001 + n % 1000 for n in sums)])
        padding = [0] * (6 - len(text))
        for found in layer_inputs("wide", model, np.array([padding + text, text + padding])):
            assert found[found > 0].tolist() == expected


@pytest.mark.parametrize("weighed", ["none", "balanced"])
def test_weights_equal_a_regression_on_naive_bayes_ratios(weighed: str) -> None:
    from sklearn.linear_model import LogisticRegression

    before, wide = FEATURES.copy(), {"min_reviews": 2, "smoothing": 0.5, "c": 0.5}
    weights, bias = wide_weights(FEATURES, LABELS, 6, small(wide=wide, class_weight=weighed))
    occurs = np.array([[n in review for n in range(1, 6)] for review in FEATURES], float)
    positive, negative = (0.5 + occurs[label == LABELS, :3].sum(axis=0) for label in (1, 0))
    ratio = 20 * np.log(positive / positive.sum() / (negative / negative.sum()))
    x = occurs[:, :3] / np.sqrt(occurs.sum(axis=1, keepdims=True)) * ratio
    counts = None if weighed == "none" else weighed
    expected = LogisticRegression(C=0.5, tol=1e-8, class_weight=counts).fit(x, LABELS)
    np.testing.assert_allclose(weights[1:4, 0], ratio * expected.coef_[0], rtol=1e-3, atol=1e-3)
    assert bias == pytest.approx(expected.intercept_, abs=2e-3)
    assert not weights[[0, 4, 5]].any()  # no feature, one in a single review, one in none
    np.testing.assert_array_equal(FEATURES, before)


def test_linear_component_without_features_or_labels_is_refused() -> None:
    with pytest.raises(UserError, match="No word is in 9 reviews"):
        wide_weights(FEATURES, LABELS, 6, small(wide={"min_reviews": 9}))
    with pytest.raises(UserError, match="the same label"):
        wide_weights(FEATURES, LABELS * 0, 6, small(**WIDE))


MISLED = {"adversarial": 5.0, "dropout": {"word": 0.3}, "average": 0.9}


@pytest.mark.parametrize(
    "changes", [{}, {"cell": "simple_rnn"}, {**TRANSFORMER, "pooling": "mean"}, MISLED], ids=str
)
def test_network_is_trained_alone_and_validated_with_the_linear_component(
    changes: dict[str, Any],
) -> None:
    alone, beside = (prepared(small(**changes, **more), accelerate=True) for more in ({}, WIDE))
    expected, trained = (one.fit(NO_PROGRESS, lambda _: None).history for one in (alone, beside))
    x, own = parts()[1].x, log_odds(alone.model, parts()[1].x)
    np.testing.assert_allclose(log_odds(beside.model, x, "probability"), own, atol=1e-5)
    for name in CURVES[:2]:
        assert trained[name].tolist() == pytest.approx(expected[name].tolist(), rel=1e-5)
    loss = validated(beside.model)["val_loss"]
    assert trained["val_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)
    assert abs(loss - expected["val_loss"].iloc[-1]) > 1e-3


def test_linear_component_is_saved_served_and_explained(
    small_params: Params, tmp_path: Path
) -> None:
    trained = prepared(small(**WIDE))
    trained.fit(NO_PROGRESS, lambda _: None, verbose=False)
    model, x = trained.model, parts()[1].x
    model.get_layer("probability").set_weights([np.zeros((4, 1)), np.zeros(1)])  # says nothing
    save_model(model, tmp_path / "saved.keras")
    loaded = load_keras().saving.load_model(tmp_path / "saved.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(x), model(x))
    served = load(packed(model, small_params, tmp_path))
    explanation = explain(served, "a fine film")
    assert any(word.log_odds for word in explanation.words)
    assert prefix_predictions(served, "a fine film")[-1].probability == explanation.probability
