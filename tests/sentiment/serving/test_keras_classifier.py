"""The bits of a prediction do not depend on the other reviews."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.network.batches import Split
from sentiment.network.linear import WEIGHT, initialize_linear_model
from sentiment.network.model import build_model
from sentiment.serving import keras_classifier
from sentiment.serving.keras_classifier import BatchPredictor, CompiledModel
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_model import train_params

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
REVIEWS = 37
LENGTH = 20
WORDS = 60
SEGMENTS = {"mask_padding": True, "segment_length": 5, "pooling": "max+mean"}
NETWORKS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"bidirectional": True, "layers": 2, **SEGMENTS},
    {"cell": "gru", "mask_padding": True},
    {**TRANSFORMER, "layers": 2, "pooling": "max+mean"},
]

LINEAR = {"architecture": "linear"}


def network(**changes: Any) -> "keras.Model":
    dropout = {"embedding": 0.5, "input": 0.5, "head": 0.5, "word": 0.5}
    params = train_params(**changes, units=8, dropout=dropout)
    load_keras().utils.set_random_seed(0)
    model = build_model(params, inputs(WORDS, LENGTH))
    rng = np.random.default_rng(0)  # biases are zero before the training
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def tokens(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, WORDS, (REVIEWS, LENGTH)).astype(np.uint16)


def linear_model(tokens: np.ndarray) -> "keras.Model":
    """Return a linear model with random weights that knows every n-gram of these reviews."""
    params = train_params(architecture="linear", linear={"min_reviews": 1})
    model = build_model(params, inputs(WORDS, LENGTH))
    labels = (np.arange(len(tokens)) % 2).astype(np.uint8)
    initialize_linear_model(model, params, Split(tokens, labels))
    rows = params.linear.max_features + 1
    model.get_layer(WEIGHT).set_weights([np.random.default_rng(0).normal(size=(rows, 1))])
    return model


@pytest.mark.parametrize("changes", [*NETWORKS, LINEAR], ids=", ".join)
def test_bits_of_a_prediction_do_not_depend_on_other_reviews(
    changes: dict[str, Any], tokens: np.ndarray
) -> None:
    model = linear_model(tokens) if changes == LINEAR else network(**changes)
    predictor = BatchPredictor(model, 8)
    probabilities = predictor(tokens)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, predictor.model(tokens)[:, 0], atol=1e-6)
    assert np.ptp(probabilities) > 0
    alone = np.concatenate([predictor(tokens[row : row + 1]) for row in range(REVIEWS)])
    shifted = np.concatenate([predictor(tokens[:3]), predictor(tokens[3:3]), predictor(tokens[3:])])
    np.testing.assert_array_equal(alone, probabilities)
    np.testing.assert_array_equal(shifted, probabilities)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, tokens: np.ndarray) -> np.ndarray:
    for name, value in {
        "LARGE_INPUT": REVIEWS,
        "PROBE_SIZE": REVIEWS // 2,
        "LARGE_BATCH_SIZE": 16,
    }.items():
        monkeypatch.setattr(keras_classifier, name, value)
    return tokens


def test_many_reviews_are_predicted_in_larger_batches_with_the_same_bits(
    many: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = BatchPredictor(network(cell="lstm"), 8)
    sizes: list[int] = []
    few = np.concatenate([predictor(many[:20]), predictor(many[20:])])
    step = CompiledModel.predict_batch

    def counted(program: CompiledModel, tokens: np.ndarray) -> np.ndarray:
        sizes.append(program.size)
        return step(program, tokens)

    monkeypatch.setattr(CompiledModel, "predict_batch", counted)
    np.testing.assert_array_equal(predictor(many), few)
    assert sizes[-3:] == [16, 16, 16]


def test_larger_batches_with_other_bits_are_not_used(
    many: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = BatchPredictor(network(cell="lstm"), 8)
    few = np.concatenate([predictor(many[:20]), predictor(many[20:])])
    other = CompiledModel(16, lambda tokens: load_keras().ops.full((len(tokens), 1), 0.5))
    monkeypatch.setattr(predictor, "_compile", lambda _: other)
    np.testing.assert_array_equal(predictor(many), few)


def test_model_with_cudnn_is_compiled_by_xla(
    tokens: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"cell": "gru", "bidirectional": True}
    expected = BatchPredictor(network(**changes), 8)(tokens)
    monkeypatch.setattr("tensorflow.config.list_logical_devices", lambda *_: ["GPU:0"])
    np.testing.assert_array_equal(BatchPredictor(network(**changes), 8)(tokens), expected)
