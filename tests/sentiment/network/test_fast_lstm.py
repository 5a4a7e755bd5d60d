"""The fast LSTM equals Keras' LSTM in outputs, gradients and the curves of a training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.network.model import implementation, recurrent_layer, save_model
from sentiment.network.training import EPOCH_METRICS
from sentiment.prediction.backend import load_keras
from tests.networks import new_model, new_training, pad_params, train_params

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.slow
TOLERANCE = 2e-6  # relative to the greatest value, or absolute if it is below 1


def outputs_and_gradients(
    model: "keras.Model | keras.layers.Layer", inputs: np.ndarray, **arguments: Any
) -> list[np.ndarray]:
    """Return the outputs, then the gradients of every weight, for a random loss."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(inputs, **arguments)
        loss = tf.reduce_sum(outputs * np.random.default_rng(1).normal(0, 1, outputs.shape))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return [tf.convert_to_tensor(tensor).numpy() for tensor in [outputs, *gradients]]


def assert_same(ours: list[np.ndarray], stock: list[np.ndarray]) -> None:
    for our, expected in zip(ours, stock, strict=True):
        tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(our, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bidirectional": True, "pooling": "max"},
        {
            "units": 32,
            "embedding_units": 16,
            "bidirectional": True,
            "mask_padding": True,
            "layers": 2,  # the first returns all outputs, the second only the last one
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("reviews", [13, 1])
def test_outputs_and_gradients_equal_keras(changes: dict[str, Any], reviews: int) -> None:
    tokens = np.random.default_rng(0).integers(1, 20, (reviews, 10))
    tokens[:4, :3] = tokens[4:8, 7:] = 0  # padding
    ours, stock = (
        outputs_and_gradients(new_model(pad_params(max_length=10), **changes, **path), tokens)
        for path in ({"fast_lstm": True}, {"fast_lstm": False})
    )
    assert_same(ours, stock)


@pytest.mark.parametrize(
    "options", [{"go_backwards": True}, {"activation": "relu"}, {"use_bias": False}], ids=str
)
def test_layer_with_other_options_equals_keras(options: dict[str, Any]) -> None:
    keras = load_keras()
    from sentiment.network.fast_lstm import FastLSTM

    inputs = np.random.default_rng(0).normal(size=(5, 7, 3)).astype("f")
    ours = FastLSTM(4, return_sequences=True, **options)
    stock = keras.layers.LSTM(4, return_sequences=True, **options)
    for layer in (ours, stock):
        layer.build(inputs.shape)
    ours.set_weights(stock.get_weights())
    assert_same(outputs_and_gradients(ours, inputs), outputs_and_gradients(stock, inputs))


def test_outputs_at_masked_padding_are_zero_in_a_bidirectional_layer() -> None:
    keras = load_keras()
    from sentiment.network.fast_lstm import FastLSTM

    inputs = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("f")
    mask = np.ones((4, 6), bool)
    mask[0, :2] = mask[1, 4:] = mask[2, 3] = False  # before, after and inside
    ours = keras.layers.Bidirectional(FastLSTM(4, return_sequences=True))
    stock = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    for layer in (ours, stock):
        layer.build(inputs.shape)
    ours.set_weights(stock.get_weights())
    results = [outputs_and_gradients(layer, inputs, mask=mask) for layer in (ours, stock)]
    assert_same(*results)
    assert not results[0][0][~mask].any()


def test_same_seed_gives_the_same_learning_curve() -> None:
    changes: dict[str, Any] = {
        "dropout": {"input": 0.2, "embedding": 0.2, "head": 0.2},
        "layers": 2,
        "pooling": "max",
    }
    stock = new_training(**changes, fast_lstm=False)
    ours = new_training(**changes, fast_lstm=True)
    for training in (stock, ours):
        training.fit(lambda: None)
    for name in EPOCH_METRICS:
        assert ours.history[name].tolist() == pytest.approx(stock.history[name], rel=1e-4)


def test_saved_model_is_plain_keras(tmp_path: Path) -> None:
    keras = load_keras()
    training = new_training(fast_lstm=True, bidirectional=True, epochs=1)
    training.fit(lambda: None)
    save_model(training.stock_model(), tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.get_layer("bidirectional").forward_layer) is keras.layers.LSTM
    assert {entry["module"] for entry in loaded.get_config()["layers"]} == {"keras.layers"}
    x = training.val_split.x
    assert_same([loaded.predict(x, verbose=0)], [training.model.predict(x, verbose=0)])
    optimizers = (training.model.optimizer, loaded.optimizer)
    for ours, stock in zip(*(one.variables for one in optimizers), strict=True):
        np.testing.assert_array_equal(ours, stock)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dropout": {"input": 0.1, "embedding": 0.1, "head": 0.1}}, "fast LSTM"),
        ({"fast_lstm": False}, "stock Keras: train.fast_lstm is false"),
        ({"architecture": "linear"}, "stock Keras: a linear model has no faster layer"),
        ({"cell": "gru"}, "stock Keras: a gru has no faster layer"),
        ({"dropout": {"recurrent": 0.1}}, "stock Keras: train.dropout.recurrent is not 0"),
    ],
)
def test_implementation_names_the_reason_for_stock_keras(
    changes: dict[str, Any], expected: str
) -> None:
    assert implementation(train_params(**{"fast_lstm": True, **changes})) == expected


def test_gpu_uses_stock_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"])
    params = train_params(fast_lstm=True)
    assert "GPU" in implementation(params)
    assert type(recurrent_layer(params, 1)) is load_keras().layers.LSTM
