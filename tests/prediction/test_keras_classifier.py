"""The bits of a prediction do not depend on the other reviews."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.model.batches import Split
from sentiment.model.linear import WEIGHT, find_features, initialize_linear_model
from sentiment.params import LinearParams
from sentiment.prediction.keras_classifier import BatchPredictor
from tests.models import LINEAR, new_layout, new_model, small_section

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.slow
REVIEWS = 37
LENGTH = 20
WORDS = 60
MODELS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"bidirectional": True, "layers": 2, "mask_padding": True, "pooling": "max"},
    {"cell": "gru", "mask_padding": True},
    LINEAR,
]


def network(**changes: Any) -> "keras.Model":
    dropout = {"embedding": 0.5, "input": 0.5, "head": 0.5}
    model = new_model(new_layout(WORDS, LENGTH), **changes, units=8, dropout=dropout)
    rng = np.random.default_rng(0)  # biases are zero before the training
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def tokens(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, WORDS, (REVIEWS, LENGTH)).astype(np.uint16)


def linear_model(tokens: np.ndarray) -> "keras.Model":
    """Return a linear model with random weights that knows every n-gram of these reviews."""
    labels = (np.arange(len(tokens)) % 2).astype(np.uint8)
    section = small_section(**LINEAR)
    assert isinstance(section, LinearParams)
    features = find_features(section, Split(tokens, labels), 2)
    model = new_model(new_layout(WORDS, LENGTH), known=features, **LINEAR)
    initialize_linear_model(model, features)
    rows = len(features.hashes) + 1
    model.get_layer(WEIGHT).set_weights([np.random.default_rng(0).normal(size=(rows, 1))])
    return model


@pytest.mark.parametrize("changes", MODELS, ids=", ".join)
def test_bits_of_a_prediction_do_not_depend_on_other_reviews(
    changes: dict[str, Any], tokens: np.ndarray
) -> None:
    model = linear_model(tokens) if changes == LINEAR else network(**changes)
    predictor = BatchPredictor(model)
    probabilities = predictor(tokens)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[:, 1], predictor.model(tokens)[:, 0], atol=1e-6)
    assert np.ptp(probabilities[:, 1]) > 0
    assert predictor(tokens[:0]).shape == (0, 2)
    alone = np.concatenate([predictor(tokens[row : row + 1]) for row in range(REVIEWS)])
    shifted = np.concatenate([predictor(tokens[:3]), predictor(tokens[3:3]), predictor(tokens[3:])])
    np.testing.assert_array_equal(alone, probabilities)
    np.testing.assert_array_equal(shifted, probabilities)


def test_model_with_cudnn_is_compiled_by_xla(
    tokens: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"cell": "gru", "bidirectional": True}
    expected = BatchPredictor(network(**changes))(tokens)
    monkeypatch.setattr("tensorflow.config.list_logical_devices", lambda *_: ["GPU:0"])
    np.testing.assert_array_equal(BatchPredictor(network(**changes))(tokens), expected)
