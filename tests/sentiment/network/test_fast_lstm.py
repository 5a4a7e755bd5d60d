"""The fast LSTM equals Keras' LSTM in outputs, gradients, updates and the curves of a training."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.network.model import build_model
from sentiment.network.params import TrainParams
from tests.conftest import inputs
from tests.sentiment.network.test_training import (
    CURVES,
    Changes,
    new_training,
    small_train_params,
    train,
)

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
TOLERANCE = 1e-5  # float32


def outputs_and_gradients(model: "keras.Model", tokens: np.ndarray) -> list[np.ndarray]:
    """Return the outputs, then the gradients of every weight, for a random loss."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(tokens)
        scale = np.random.default_rng(1).normal(0, 100, outputs.shape).astype("f")
        loss = tf.reduce_sum(outputs * scale)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return [tf.convert_to_tensor(tensor).numpy() for tensor in [outputs, *gradients]]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        size = max(1.0, float(np.abs(other).max()))  # sums over thousands of terms are large
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * size)


def accelerate(model: "keras.Model", params: TrainParams | None = None) -> str:
    from sentiment.network import fast_lstm

    return fast_lstm.accelerate(model, params or small_train_params())


@pytest.mark.parametrize(
    "changes",
    [
        {"bidirectional": True, "pooling": "max+mean", "segment_length": 1},
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
def test_outputs_and_gradients_equal_keras(changes: Changes) -> None:
    params = small_train_params(**changes)
    model = build_model(params, inputs(20, 10))
    tokens = np.random.default_rng(0).integers(1, 20, (13, 10))
    tokens[:4, :3] = tokens[4:8, 7:] = 0  # padding
    expected = [outputs_and_gradients(model, some) for some in (tokens, tokens[:1])]
    assert accelerate(model, params) == "fast LSTM"
    for some, values in zip((tokens, tokens[:1]), expected, strict=True):
        assert_same(outputs_and_gradients(model, some), values)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "dropout": {"input": 0.2, "embedding": 0.2, "head": 0.2, "word": 0.2},
            "layers": 2,
            "pooling": "max+mean",
            "segment_length": 2,
            "label_smoothing": 0.1,
        },
    ],
    ids=str,
)
def test_same_seed_gives_the_same_learning_curve(changes: Changes) -> None:
    params = small_train_params(**changes)
    stock = train(params)
    ours = train(params, accelerate=True)
    for name in CURVES:
        assert ours.history[name].tolist() == pytest.approx(stock.history[name], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "nadam", "rmsprop", "sgd"])
def test_updates_equal_keras_with_every_optimizer(optimizer: str) -> None:
    schedule = {"kind": "cosine", "warmup_epochs": 0.4}
    changes = {"global_clipnorm": 0.5, "weight_decay": 0.01}
    params = small_train_params(optimizer=optimizer, schedule=schedule, **changes)
    stock, ours = models = [new_training(params).model for _ in range(2)]
    accelerate(ours)
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = [rng.normal(size=one.shape).astype("f") for one in stock.trainable_variables]
        for model in models:
            model.optimizer.apply(gradients, model.trainable_variables)
    assert_same(*([v.numpy() for v in model.trainable_variables] for model in models))
    assert_same(*([v.numpy() for v in model.optimizer.variables] for model in models))


def test_saved_model_is_plain_keras(tmp_path: Path) -> None:
    keras = load_keras()
    params = small_train_params(bidirectional=True)
    model = build_model(params, inputs(20, 6))
    x = np.arange(48).reshape(8, 6) % 20
    accelerate(model, params)
    model.optimizer.apply([np.ones(v.shape, "f") for v in model.trainable_variables], [])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.get_layer("bidirectional").forward_layer) is keras.layers.LSTM
    assert "inner_loop" not in vars(loaded.get_layer("bidirectional").forward_layer)
    assert {entry["module"] for entry in loaded.get_config()["layers"]} == {"keras.layers"}
    assert_same([loaded(x).numpy()], [model(x).numpy()])
    assert int(loaded.optimizer.iterations) == 1
    for kept, saved in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(kept, saved)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"dropout": {"input": 0.1, "embedding": 0.1, "head": 0.1}}, "fast LSTM"),
        ({"accelerate": False}, "stock Keras: train.accelerate is false"),
        ({"cell": "gru"}, "stock Keras: a gru has no other path"),
        ({"dropout": {"recurrent": 0.1}}, "stock Keras: train.dropout.recurrent is not 0"),
    ],
)
def test_path_names_the_reason_for_stock_keras(changes: Changes, path: str) -> None:
    params = small_train_params(**changes)
    assert accelerate(build_model(params, inputs(20, 6)), params) == path


def test_gpu_uses_stock_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(small_train_params(), inputs(20, 6))
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"])
    assert "GPU" in accelerate(model)
    assert "inner_loop" not in vars(model.get_layer("lstm"))
