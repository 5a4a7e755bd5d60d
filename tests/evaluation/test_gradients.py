"""The gradient at each distance equals finite differences, relative to the last word's."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from sentiment.backend import load_keras
from sentiment.evaluation import gradients
from tests.models import new_layout, new_model

if TYPE_CHECKING:
    import keras

WORDS = 20
LENGTH = 12
STEP = 1e-3  # change of a number in a vector
KINK = 5e-3  # difference of the slopes to both sides that shows a kink of a maximum
NETWORKS: list[dict[str, Any]] = [
    {"dropout": {"embedding": 0.3, "input": 0.3, "head": 0.3}},
    {"bidirectional": True, "pooling": "max", "cell": "gru"},
    {"layers": 2, "pooling": "mean", "mask_padding": True},
    {"label_count": 3},
]
PRE = np.array([[0, 0, 5, 6], [0, 5, 6, 7], [5, 6, 7, 8], [0, 0, 0, 5], [8, 7, 6, 5]])
POST = np.array([[5, 6, 0, 0], [5, 6, 7, 0]])


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Return token ids of five reviews without padding."""
    return rng.integers(1, WORDS, (5, LENGTH)).astype(np.uint16)


def network(**changes: Any) -> "keras.Model":
    return new_model(new_layout(WORDS, LENGTH), **changes)


def logits(model: "keras.Model", vectors: np.ndarray) -> np.ndarray:
    """Return the greatest logit of each review, float64, given the vectors of its words."""
    head = model.get_layer("probability")
    rest = load_keras().Model([model.input, model.get_layer("embedding").output], head.input)
    kernel, bias = (np.asarray(weight, np.float64) for weight in head.get_weights())
    summary = rest([np.ones(vectors.shape[:2], np.int32), vectors])
    of_labels = np.asarray(summary, np.float64) @ kernel + bias
    return np.asarray(of_labels.max(axis=1))


def differences(model: "keras.Model", vectors: np.ndarray, step: float) -> np.ndarray:
    """Return the slope of the logit in each number of each vector, by a step of this size."""
    reviews, words, units = vectors.shape
    steps = step * np.eye(words * units).reshape(-1, 1, words, units)  # one number a time
    changed = (vectors + steps).astype(np.float32)
    after = logits(model, changed.reshape(-1, words, units)).reshape(-1, reviews)
    slopes: np.ndarray = (after - logits(model, vectors)) / step
    return slopes.T.reshape(vectors.shape)


@pytest.mark.slow
@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_norms_equal_finite_differences(changes: dict[str, Any], x: np.ndarray) -> None:
    model = network(**changes)
    vectors = np.asarray(load_keras().Model(model.input, model.get_layer("embedding").output)(x))
    forward, backward = (differences(model, vectors, step) for step in (STEP, -STEP))
    expected = np.linalg.norm((forward + backward) / 2, axis=2)
    smooth = np.abs(forward - backward).max(axis=2) < KINK  # otherwise another state is the maximum
    assert smooth.mean() > (0.5 if "max" in changes.get("pooling", "") else 0.99)
    norms = gradients.make_gradient_norms(model)(x)
    np.testing.assert_allclose(norms[smooth], expected[smooth], rtol=0.02, atol=5e-4)


@pytest.mark.slow
def test_masked_padding_has_no_gradient(x: np.ndarray) -> None:
    x[:, :4] = 0
    x[0, :] = [0] * 11 + [7]
    norms = gradients.make_gradient_norms(network(mask_padding=True))(x)
    assert (norms[x == 0] == 0).all()
    assert (norms[x > 0] > 0).all()


@pytest.mark.slow
def test_gradients_of_several_batches_equal_those_of_single_reviews(
    x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(cell="simple_rnn")
    together = gradients.make_gradient_norms(model)(x)
    monkeypatch.setattr(gradients, "GRADIENT_BATCH_SIZE", 2)
    np.testing.assert_allclose(gradients.make_gradient_norms(model)(x), together, rtol=1e-4)


@pytest.mark.slow
def test_the_table_compares_the_trained_network_with_the_initial_one(x: np.ndarray) -> None:
    initial_model = network(cell="simple_rnn")
    model = network(cell="simple_rnn")
    model.set_weights([0.5 * weight for weight in model.get_weights()])
    means = [
        gradients.distance_table(gradients.norms_by_distance(norms, x))["mean"].to_numpy()
        for norms in (
            gradients.make_gradient_norms(model)(x),
            gradients.make_gradient_norms(initial_model)(x),
        )
    ]
    assert not np.allclose(means[0], means[1], rtol=0.1)
    before = model.get_weights()
    table = gradients.measure_gradients(model, initial_model, x)
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    np.testing.assert_allclose(table["mean"], means[0])
    np.testing.assert_allclose(table["initial_mean"], means[1])


@pytest.mark.slow
def test_the_norms_change_neither_model_nor_random_numbers(x: np.ndarray) -> None:
    model = network(dropout={"input": 0.5, "embedding": 0.5, "head": 0.5})
    generators = [one.seed_generator for one in model.layers if hasattr(one, "seed_generator")]
    variables = [*model.weights, *(generator.state for generator in generators)]
    assert len(generators) == 2
    before = [variable.numpy() for variable in variables]
    gradients.make_gradient_norms(model)(x)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_selected_reviews_are_the_longest() -> None:
    assert gradients.select_reviews(PRE, 1).tolist() == [[5, 6, 7, 8]]
    assert gradients.select_reviews(PRE, 3).tolist() == [[5, 6, 7, 8], [8, 7, 6, 5], [0, 5, 6, 7]]


@pytest.mark.parametrize(
    ("x", "norms", "expected"),
    [
        (PRE[:2], [[1, 3, 1, 3], [2, 2, 6, 18]], [[1.5, 0.5], [1.5, 0.5]]),
        (POST, [[3, 1, 1, 3], [2, 2, 6, 18]], [[0.5, 1.5], [1.5, 0.5]]),
        (np.ones((1, 3)), [[0, 0, 0]], [[0, 0, 0]]),
        (
            PRE[2:],
            [[1, 1, 3, 3], [9, 9, 9, 2], [1, 1, 1, 1]],
            [[1.5, 1.5, 0.5, 0.5], [1, *[np.nan] * 3], [1, 1, 1, 1]],
        ),
    ],
    ids=["pre", "post", "none", "short"],
)
def test_norms_are_counted_from_the_last_word_relative_to_the_mean(
    x: np.ndarray, norms: list[list[float]], expected: list[list[float]]
) -> None:
    relative = gradients.norms_by_distance(np.array(norms, np.float32), x)
    np.testing.assert_array_equal(relative, expected)


def test_a_distance_that_fewer_than_half_of_the_reviews_have_is_left_out() -> None:
    norms = np.ones((4, 4), np.float32)
    assert gradients.norms_by_distance(norms, PRE[[0, 1, 3, 4]]).shape == (4, 2)


def test_table_is_relative_to_the_last_word_or_the_greatest_mean() -> None:
    table = gradients.distance_table(np.array([[2.0, 2.0], [2.0, 4.0]]))
    assert table["mean"].tolist() == [1.0, 1.5]
    assert table["low"].tolist() == pytest.approx([1.0, 1.1])
    assert table["high"].tolist() == pytest.approx([1.0, 1.9])
    short = gradients.distance_table(np.array([[2.0, 2.0], [2.0, np.nan]]))
    assert short["mean"].tolist() == [1.0, 1.0]
    assert gradients.distance_table(np.array([[0.0, 4.0, 2.0]]))["mean"].tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("means", "expected"), [([1.0, 0.5, 0.01, 0.009], 2), ([1.0, 50.0, 0.4], 1), ([0.0, 0.0], 0)]
)
def test_reach_ends_below_the_threshold(means: list[float], expected: int) -> None:
    assert gradients.gradient_reach(pd.Series(means)) == expected
