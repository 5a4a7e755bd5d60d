"""The gradient at each distance is what finite differences and a known recurrence say."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment import gradients
from sentiment.backend import load_keras
from sentiment.gradients import by_distance, table
from sentiment.network import training
from sentiment.network.model import build_model
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import small

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
WORDS, LENGTH = 20, 12
STEP, KINK = 1e-3, 5e-3  # of a number in a vector; of the slopes to both sides
NETWORKS: list[dict[str, Any]] = [
    {"dropout": {"word": 0.3, "embedding": 0.3, "input": 0.3, "head": 0.3}},
    {"cell": "simple_rnn"},
    {"pooling": "max"},
    {"bidirectional": True, "pooling": "max+mean", "cell": "gru"},
    {"layers": 2, "pooling": "mean", "segment_length": 4},
    {"mask_padding": True, "bidirectional": True},
    {"bigrams": {"units": 2, "buckets": 50}},
    {**TRANSFORMER, "layers": 2, "pooling": "mean"},
]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Token ids of five reviews without padding."""
    return rng.integers(1, WORDS, (5, LENGTH)).astype(np.uint16)


def network(**changes: Any) -> "keras.Model":
    params = small(**changes)
    training.prepare(params)
    return build_model(params, inputs(WORDS, LENGTH))


def logits(model: "keras.Model", vectors: np.ndarray) -> np.ndarray:
    """The logit of each review without padding, float64, from the vectors of its words."""
    head = model.get_layer("probability")
    rest = load_keras().Model([model.input, gradients.vectors(model)], head.input)
    kernel, bias = (np.asarray(weight, np.float64) for weight in head.get_weights())
    summary = rest([np.ones(vectors.shape[:2], np.int32), vectors])
    return (np.asarray(summary, np.float64) @ kernel + bias)[:, 0]


def differences(model: "keras.Model", vectors: np.ndarray, step: float) -> np.ndarray:
    """How the logit changes with each number of each vector, by a step of this size and sign."""
    reviews, words, units = vectors.shape
    steps = step * np.eye(words * units).reshape(-1, 1, words, units)  # one number a time
    moved = (vectors + steps).astype(np.float32)
    after = logits(model, moved.reshape(-1, words, units)).reshape(-1, reviews)
    slopes: np.ndarray = (after - logits(model, vectors)) / step
    return slopes.T.reshape(vectors.shape)


@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_norms_are_those_of_finite_differences(changes: dict[str, Any], x: np.ndarray) -> None:
    model = network(**changes)
    vectors = np.asarray(load_keras().Model(model.input, gradients.vectors(model))(x))
    forward, backward = (differences(model, vectors, step) for step in (STEP, -STEP))
    expected = np.linalg.norm((forward + backward) / 2, axis=2)
    smooth = np.abs(forward - backward).max(axis=2) < KINK  # else another state is the greatest
    assert smooth.mean() > (0.5 if "max" in changes.get("pooling", "") else 0.99)
    norms = gradients.norms(model, x)
    np.testing.assert_allclose(norms[smooth], expected[smooth], rtol=0.02, atol=5e-4)


def test_a_linear_recurrence_has_the_gradient_of_its_closed_form(x: np.ndarray) -> None:
    """h_t = x_t + U h_{t-1} and z = w h_T: the gradient by x_t is (U^T)^(T - t) w."""
    model = network(cell="simple_rnn")
    cell, head = model.get_layer("simple_rnn"), model.get_layer("probability")
    cell.cell.activation = lambda state: state
    units = len(cell.get_weights()[1])
    recurrent = 0.9 * np.linalg.qr(np.random.default_rng(0).normal(size=(units, units)))[0]
    cell.set_weights([np.eye(units), recurrent, np.zeros(units)])
    norms = gradients.norms(model, x)
    size = np.linalg.norm(head.get_weights()[0])
    expected = size * 0.9 ** np.arange(LENGTH)[::-1]
    np.testing.assert_allclose(norms, np.tile(expected, (len(x), 1)), rtol=1e-5)
    means = table(by_distance(norms, x, 0))["mean"]
    np.testing.assert_allclose(means, 0.9 ** np.arange(LENGTH), rtol=1e-5)


def test_the_fast_path_gives_the_norms_of_stock_keras(x: np.ndarray) -> None:
    from sentiment.network.fast import accelerate

    model = network(bidirectional=True, pooling="max+mean")
    stock = gradients.norms(model, x)
    assert accelerate(model, small()) == "fast LSTM"
    np.testing.assert_allclose(gradients.norms(model, x), stock, rtol=1e-5, atol=1e-5)


def test_masked_padding_has_no_gradient(x: np.ndarray) -> None:
    x[:, :4] = 0
    x[0, :] = [0] * 11 + [7]
    norms = gradients.norms(network(mask_padding=True), x)
    assert (norms[x == 0] == 0).all()
    assert (norms[x > 0] > 0).all()


def test_more_reviews_than_a_step_takes_are_measured_each(x: np.ndarray) -> None:
    model, many = network(), np.tile(x, (20, 1))
    assert len(many) > gradients.BATCH
    norms = gradients.norms(model, many)
    np.testing.assert_allclose(norms, np.tile(gradients.norms(model, x), (20, 1)), rtol=1e-4)


def test_measuring_changes_neither_the_model_nor_what_is_drawn_next(x: np.ndarray) -> None:
    model = network(dropout={"input": 0.5, "embedding": 0.5, "head": 0.5})
    generators = [
        layer.seed_generator for layer in model.layers if hasattr(layer, "seed_generator")
    ]
    variables = [*model.weights, *(generator.state for generator in generators)]
    assert len(generators) == 2
    before = [variable.numpy() for variable in variables]
    gradients.measure(model, x, 0, 3)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
