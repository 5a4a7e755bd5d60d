"""The gates are those that Keras computes with."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from extras.demo import gates as watched
from extras.demo.gates import Gates
from sentiment.network.architectures import recurrent_layers
from sentiment.network.model import build_model
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import small

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
ROW = np.array([0, 0, 3, 7, 1, 4])


def gates(model: "keras.Model", row: np.ndarray) -> list[Gates]:
    """The gates at each token id, by a model that has some."""
    watch = watched.watch(model)
    assert watch is not None
    return watch(row)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, [ROW[: n + 1] for n in range(6)]),
        ({"bidirectional": True, "layers": 2}, [ROW[: n + 1] for n in range(6)]),
        ({"mask_padding": True}, [None, None, *(ROW[2 : n + 1] for n in range(2, 6))]),
        (
            {"segment_length": 4, "pooling": "max"},
            [ROW[: n + 1] if n < 4 else ROW[4 : n + 1] for n in range(6)],
        ),
    ],
    ids=["one", "the first of two", "padding is skipped", "segments"],
)
def test_the_cell_is_the_one_that_keras_computes(
    changes: dict[str, Any], seen: list[np.ndarray | None]
) -> None:
    import keras

    model = build_model(small(**changes), inputs(20, 8))
    layer, state = recurrent_layers(model)[0], keras.layers.LSTM(4, return_state=True)
    embedding = keras.layers.Embedding(20, 4)
    state(embedding(ROW[None]))
    embedding.set_weights(model.get_layer("embedding").get_weights())
    state.set_weights(layer.get_weights())
    steps = gates(model, np.array([*ROW, 1, 1]))
    for step, tokens in zip(steps, seen, strict=False):
        cell = 0 if tokens is None else state(embedding(tokens[None]))[2]
        assert step.cell == pytest.approx(float(np.linalg.norm(cell)), rel=1e-5)


def test_bigrams_are_read_with_the_words() -> None:
    import keras

    model = build_model(small(bigrams={"units": 3, "buckets": 50}), inputs(20, len(ROW)))
    (layer,), state = recurrent_layers(model), keras.layers.LSTM(4, return_state=True)
    bigrams = keras.Model(model.input, model.get_layer("bigrams").output)(ROW[None])
    words = model.get_layer("embedding").get_weights()[0][ROW]
    vectors = np.concatenate([words, np.asarray(bigrams)[0]], axis=1)
    state(vectors[None])
    state.set_weights(layer.get_weights())
    steps = gates(model, ROW)
    for number, step in enumerate(steps, 1):
        cell = float(np.linalg.norm(state(vectors[None, :number])[2]))
        assert step.cell == pytest.approx(cell, rel=1e-5)


def test_gates_are_the_means_over_the_units() -> None:
    model = build_model(small(), inputs(20, len(ROW)))
    (layer,) = recurrent_layers(model)
    kernel, recurrent, bias = (np.zeros_like(weight) for weight in layer.get_weights())
    units = len(recurrent)
    bias[:units], bias[units : 2 * units], bias[3 * units :] = 1.0, [0, 1, 2, 3], -50.0
    layer.set_weights([kernel, recurrent, bias])
    steps = gates(model, ROW)
    assert steps[0].input == pytest.approx(1 / (1 + np.exp(-1)))
    assert steps[0].forget == pytest.approx(np.mean(1 / (1 + np.exp(-np.arange(4.0)))))
    assert steps[0].output == pytest.approx(0, abs=1e-9)
    assert steps[0].cell == 0


@pytest.mark.parametrize("changes", [{"cell": "gru"}, {"cell": "simple_rnn"}, TRANSFORMER], ids=str)
def test_another_network_has_no_such_gates(changes: dict[str, Any]) -> None:
    assert watched.watch(build_model(small(**changes), inputs(20, len(ROW)))) is None
