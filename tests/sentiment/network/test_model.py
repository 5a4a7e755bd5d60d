import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.network.model import build_model, lstm_layers, save_model
from sentiment.params import Params, Train, check_params
from sentiment.serving.backend import load_keras
from tests.conftest import defaults
from tests.project import merged

pytestmark = pytest.mark.usefixtures("backend")


def settings(**changes: Any) -> Train:
    return check_params(merged(defaults(), {"train": changes}), "params.yaml").train


def layers(train: Train) -> list[str]:
    return [type(layer).__name__ for layer in build_model(train, 50, 9).layers]


def test_default_is_the_missions_model(default_params: Params) -> None:
    model = build_model(default_params.train, 10_000, 200)
    assert layers(default_params.train) == ["InputLayer", "Embedding", "LSTM", "Dense"]
    assert [layer.count_params() for layer in model.layers] == [0, 640_000, 33_024, 65]
    assert model.get_layer("probability").activation.__name__ == "sigmoid"
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss == "binary_crossentropy"


def test_default_predicts_what_stock_keras_predicts(default_params: Params) -> None:
    keras = load_keras()
    keras.utils.set_random_seed(3)
    ours = build_model(default_params.train, 50, 9)
    keras.utils.set_random_seed(3)
    stock = keras.Sequential(
        [
            keras.Input((9,)),
            keras.layers.Embedding(50, 64),
            keras.layers.LSTM(64),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    x = np.arange(18).reshape(2, 9)
    assert np.array_equal(ours.predict(x, verbose=0), stock.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("cell", "layer"), [("lstm", "LSTM"), ("gru", "GRU"), ("simple_rnn", "SimpleRNN")]
)
def test_cell_is_the_one_named(cell: str, layer: str) -> None:
    assert layers(settings(cell=cell))[2] == layer


def test_bidirectional_wraps_the_cell() -> None:
    model = build_model(settings(bidirectional=True, units=5), 50, 9)
    assert model.get_layer("bidirectional").output.shape == (None, 10)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("last", []),
        ("max", ["GlobalMaxPooling1D"]),
        ("mean", ["GlobalAveragePooling1D"]),
        ("max+mean", ["GlobalMaxPooling1D", "GlobalAveragePooling1D", "Concatenate"]),
    ],
)
def test_pooling_reduces_the_states(pooling: str, expected: list[str]) -> None:
    assert layers(settings(pooling=pooling))[3:-1] == expected


def test_dropouts_stand_where_they_are_named() -> None:
    rates = {"embedding": 0.1, "input": 0.2, "recurrent": 0.3, "head": 0.4}
    model = build_model(settings(dropout=rates), 50, 9)
    cell = model.get_layer("lstm")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Embedding", "SpatialDropout1D", "LSTM", "Dropout", "Dense"]
    assert (model.layers[2].rate, model.layers[4].rate) == (0.1, 0.4)
    assert (cell.dropout, cell.recurrent_dropout) == (0.2, 0.3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "sgd"])
def test_optimizer_and_learning_rate_are_those_named(optimizer: str) -> None:
    model = build_model(settings(optimizer=optimizer, learning_rate=0.05), 50, 9)
    assert type(model.optimizer).__name__.lower() == optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_forget_gate_starts_with_the_bias_named_and_the_others_with_none(
    bidirectional: bool,
) -> None:
    model = build_model(settings(units=3, forget_bias=2.5, bidirectional=bidirectional), 50, 9)
    layers = lstm_layers(model)
    assert len(layers) == (2 if bidirectional else 1)
    for layer in layers:
        assert layer.cell.bias.numpy().tolist() == [0] * 3 + [2.5] * 3 + [0] * 6


def test_a_forget_bias_without_a_forget_gate_is_refused() -> None:
    with pytest.raises(UserError, match="forget_bias 3 needs cell lstm: a gru has no forget gate"):
        settings(cell="gru", forget_bias=3.0)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_recurrent_weights_start_as_named(cell: str) -> None:
    def recurrent(start: str) -> np.ndarray:
        train = settings(cell=cell, units=4, recurrent_initializer=start)
        weights: np.ndarray = build_model(train, 50, 9).get_layer(cell).get_weights()[1]
        return weights

    products = recurrent("orthogonal")
    np.testing.assert_allclose(products @ products.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(recurrent("identity"), np.eye(*products.shape))
    uniform = recurrent("glorot_uniform")
    assert np.abs(uniform).max() <= np.sqrt(6 / sum(uniform.shape))


def test_a_gradient_that_is_too_long_is_shortened() -> None:
    import keras

    def moved(clip_norm: float) -> np.ndarray:
        keras.utils.set_random_seed(1)
        train = settings(optimizer="sgd", learning_rate=1.0, clip_norm=clip_norm, units=3)
        model = build_model(train, 50, 9)
        before = [np.array(each) for each in model.trainable_variables]
        gradients = [np.full(each.shape, 2.0, "f") for each in before]
        model.optimizer.apply(gradients, model.trainable_variables)
        steps = [each - start for each, start in zip(model.get_weights(), before, strict=True)]
        return np.concatenate([step.ravel() for step in steps])

    assert np.linalg.norm(moved(0.5)) == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_allclose(moved(0.0), -2.0, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "max+mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_every_combination_gives_a_probability_for_each_review(
    cell: str, bidirectional: bool, pooling: str
) -> None:
    train = settings(cell=cell, bidirectional=bidirectional, pooling=pooling, units=3)
    probabilities = build_model(train, 50, 9).predict(np.ones((4, 9)), verbose=0)
    assert probabilities.shape == (4, 1)
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_the_same_model_is_saved_as_the_same_bytes(small_params: Params, tmp_path: Path) -> None:
    import keras

    keras.utils.clear_session()
    model = build_model(small_params.train, 20, 6)
    save_model(model, tmp_path / "first.keras")
    time.sleep(2.1)  # an archive's time has steps of two seconds
    keras.utils.clear_session()  # or its layers get other names
    again = build_model(small_params.train, 20, 6)
    again.set_weights(model.get_weights())
    save_model(again, tmp_path / "second.keras")
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "second.keras").read_bytes()
    loaded = keras.saving.load_model(tmp_path / "first.keras", safe_mode=True)
    for mine, its in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.keras", "second.keras"]
