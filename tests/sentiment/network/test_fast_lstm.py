"""The fast LSTM equals Keras' LSTM in outputs, gradients, updates and the curves of a training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.network.training import EPOCH_METRICS
from sentiment.prediction.backend import load_keras
from tests.networks import new_model, new_training, pad_params, train_params

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.slow
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


def accelerate(model: "keras.Model", **changes: Any) -> str:
    from sentiment.network import fast_lstm

    return fast_lstm.accelerate(model, train_params(**{"accelerate": True, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
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
def test_outputs_and_gradients_equal_keras(changes: dict[str, Any]) -> None:
    model = new_model(pad_params(max_length=10), **changes)
    tokens = np.random.default_rng(0).integers(1, 20, (13, 10))
    tokens[:4, :3] = tokens[4:8, 7:] = 0  # padding
    expected = [outputs_and_gradients(model, some) for some in (tokens, tokens[:1])]
    assert accelerate(model, **changes) == "fast LSTM"
    for some, values in zip((tokens, tokens[:1]), expected, strict=True):
        assert_same(outputs_and_gradients(model, some), values)


def test_same_seed_gives_the_same_learning_curve() -> None:
    changes: dict[str, Any] = {
        "dropout": {"input": 0.2, "embedding": 0.2, "head": 0.2},
        "layers": 2,
        "pooling": "max",
    }
    stock = new_training(**changes)
    ours = new_training(**changes, accelerate=True)
    for training in (stock, ours):
        training.fit(lambda: None)
    assert stock.implementation == "stock Keras: train.accelerate is false"
    assert ours.implementation == "fast LSTM"
    for name in EPOCH_METRICS:
        assert ours.history[name].tolist() == pytest.approx(stock.history[name], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_updates_equal_keras_with_every_optimizer(optimizer: str) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "schedule": "cosine", "global_clipnorm": 0.5}
    stock, ours = models = [new_training(**changes).model for _ in range(2)]
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
    model = new_model(bidirectional=True)
    x = np.arange(48).reshape(8, 6) % 20
    accelerate(model)
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
        ({"architecture": "linear"}, "stock Keras: a linear model has no other path"),
        ({"cell": "gru"}, "stock Keras: a gru has no other path"),
        ({"dropout": {"recurrent": 0.1}}, "stock Keras: train.dropout.recurrent is not 0"),
    ],
)
def test_path_names_the_reason_for_stock_keras(changes: dict[str, Any], path: str) -> None:
    assert accelerate(new_model(**changes), **changes) == path


def test_gpu_uses_stock_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_model()
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"])
    assert "GPU" in accelerate(model)
    assert "inner_loop" not in vars(model.get_layer("lstm"))
