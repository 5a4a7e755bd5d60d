"""The network is the one that params describe."""

from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.model.build import build_model, compile_model
from tests.models import new_layout, new_model
from tests.params import new_section

pytestmark = pytest.mark.slow
BEFORE = [0, 0, 0, 7, 8, 9]
BEHIND = [7, 8, 9, 0, 0, 0]
SHORT = [7, 8, 9]


def probabilities(*reviews: list[int], **train: Any) -> list[float]:
    """Return the probability of each review, by a model with the weights of a seed."""
    model = new_model(new_layout(max_length=len(reviews[0])), **train)
    predicted: list[float] = model(np.array(reviews)).numpy()[:, 0].tolist()
    return predicted


def test_default_model_is_embedding_lstm_dense() -> None:
    load_keras()
    section = new_section("lstm")
    model = build_model(section, section.layout(section.max_length), label_count=2)
    compile_model(model, section, reviews=20_000)
    parameters = [(type(layer).__name__, layer.count_params()) for layer in model.layers[1:]]
    assert parameters == [("Embedding", 640_000), ("LSTM", 33_024), ("Dense", 65)]
    assert model.get_layer("probability").activation.__name__ == "sigmoid"
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss.name == "binary_crossentropy"


def test_more_than_two_labels_have_a_probability_each() -> None:
    model = new_model(label_count=3)
    probabilities = model(np.ones((5, 6), np.int32)).numpy()
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert model.loss.name == "sparse_categorical_crossentropy"


def test_initial_weights_follow_from_the_seed_alone() -> None:
    first, second = (new_model(seed=3) for _ in "ab")
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_masked_predictions_equal_stock_keras() -> None:
    ours = probabilities(BEFORE, BEHIND, mask_padding=True)
    keras = load_keras()
    keras.utils.set_random_seed(1)
    read = [keras.layers.Embedding(20, 4, mask_zero=True), keras.layers.LSTM(4)]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), *read, head])
    assert ours == model(np.array([BEFORE, BEHIND])).numpy()[:, 0].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "lstm"},
        {"cell": "gru", "bidirectional": True, "pooling": "mean"},
        {"cell": "simple_rnn", "bidirectional": True, "pooling": "max"},
    ],
    ids=str,
)
def test_masked_padding_does_not_change_predictions(changes: dict[str, Any]) -> None:
    train = {"layers": 2, "mask_padding": True, **changes}
    before, behind = probabilities(BEFORE, BEHIND, **train)
    assert 0 < before < 1
    assert before == pytest.approx(behind, abs=1e-6)
    assert [before] == pytest.approx(probabilities(SHORT, **train), abs=1e-6)


def test_unmasked_padding_changes_predictions() -> None:
    before, behind = probabilities(BEFORE, BEHIND, layers=2)
    assert abs(before - behind) > 1e-6


def test_layers_are_stacked() -> None:
    model = new_model(layers=3, units=3, bidirectional=True)
    shapes = [model.get_layer(f"bidirectional{n}").output.shape for n in ("", "_2", "_3")]
    assert shapes == [(None, 6, 6), (None, 6, 6), (None, 6)]


@pytest.mark.parametrize(("pooling", "reduce"), [("max", np.max), ("mean", np.mean)])
def test_states_of_all_words_are_pooled(pooling: str, reduce: Any) -> None:
    model = new_model(pooling=pooling)
    review = np.arange(5, 11)[None]
    states = model.get_layer("lstm")(model.get_layer("embedding")(review)).numpy()
    assert states.shape == (1, 6, 4)
    expected = model.get_layer("probability")(reduce(states, axis=1))
    np.testing.assert_allclose(model(review), expected, atol=1e-6)


def test_dropouts_are_where_params_name_them() -> None:
    model = new_model(dropout={"embedding": 0.1, "input": 0.2, "recurrent": 0.3, "head": 0.4})
    cell = model.get_layer("lstm")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Embedding", "SpatialDropout1D", "LSTM", "Dropout", "Dense"]
    assert (model.layers[2].rate, model.layers[4].rate) == (0.1, 0.4)
    assert (cell.dropout, cell.recurrent_dropout) == (0.2, 0.3)


@pytest.mark.parametrize(
    ("optimizer", "name"), [("adam", "Adam"), ("rmsprop", "RMSprop"), ("sgd", "SGD")]
)
def test_optimizer_is_that_of_params(optimizer: str, name: str) -> None:
    used = new_model(optimizer=optimizer, learning_rate=0.05, global_clipnorm=0.5).optimizer
    assert type(used).__name__ == name
    assert float(used.learning_rate) == pytest.approx(0.05)
    assert used.global_clipnorm == 0.5
    assert new_model(optimizer=optimizer).optimizer.global_clipnorm is None


def test_learning_rate_falls_by_a_cosine_over_all_steps() -> None:
    """Train four epochs of five steps: 160 reviews in batches of 32."""
    model = new_model(epochs=4, learning_rate=0.5, schedule="cosine")
    rates = []
    for step in range(21):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(rates, 0.25 * (1 + np.cos(np.pi * np.arange(21) / 20)), atol=1e-6)
