"""The fast path computes what Keras' LSTM does: outputs, gradients, updates, learning curves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.network.model import build_model
from sentiment.network.train_options import Train
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import OPTIMIZERS, learn, prepared, small

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
TOLERANCE = 1e-5  # float32
GPU = "tensorflow.config.list_physical_devices"


def model_of(
    steps: int, features: int, units: int, bidirectional: bool = False, **options: Any
) -> "keras.Model":
    import keras

    lstm = keras.layers.LSTM(units, **options)
    layer = keras.layers.Bidirectional(lstm) if bidirectional else lstm
    inputs = keras.Input((steps, features))
    model = keras.Model(inputs, layer(inputs))
    model.compile("adam", "mse")
    return model


def outputs_and_gradients(
    model: "keras.Model", x: np.ndarray, training: bool = False
) -> list[np.ndarray]:
    """The outputs, then the gradients of the inputs and of every weight, for a random loss."""
    import tensorflow as tf

    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        outputs = tf.nest.flatten(model(inputs, training=training))
        scale = np.random.default_rng(1)
        loss = sum(tf.reduce_sum(o * scale.normal(size=o.shape).astype("f")) for o in outputs)
    gradients = tape.gradient(loss, [inputs, *weights])
    return [tensor.numpy() for tensor in [*outputs, *gradients]]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        size = max(1.0, float(np.abs(other).max()))  # sums over thousands of terms are large
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * size)


def accelerate(model: "keras.Model", params: Train | None = None) -> str:
    from sentiment.network import fast

    return fast.accelerate(model, params or small())


def compare(x: np.ndarray, units: int, bidirectional: bool = False, **options: Any) -> None:
    _, steps, features = x.shape
    model = model_of(steps, features, units, bidirectional, **options)
    expected = outputs_and_gradients(model, x)
    accelerate(model)
    assert_same(outputs_and_gradients(model, x), expected)


def random_input(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("f")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("steps", [1, 200])
def test_outputs_and_gradients_are_those_of_keras(
    steps: int, batch: int, sequences: bool, bidirectional: bool
) -> None:
    compare(random_input(batch, steps, 64), 64, bidirectional, return_sequences=sequences)


@pytest.mark.parametrize("seed", range(3))
def test_any_shape_gives_the_outputs_and_gradients_of_keras(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch, steps, features, units = (int(rng.integers(1, high)) for high in (70, 40, 50, 50))
    sequences, bidirectional = bool(rng.integers(2)), bool(rng.integers(2))
    x = random_input(batch, steps, features)
    compare(x, units, bidirectional, return_sequences=sequences)


def test_final_states_and_their_gradients_are_those_of_keras() -> None:
    compare(random_input(6, 9, 5), 7, return_sequences=True, return_state=True)


def test_states_before_the_first_step_and_their_gradients_are_those_of_keras() -> None:
    import keras
    import tensorflow as tf

    shapes = ((9, 5), (7,), (7,))
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, keras.layers.LSTM(7)(inputs[0], initial_state=inputs[1:]))
    model.compile("adam", "mse")

    def gradients() -> list[np.ndarray]:
        values = [tf.constant(random_input(6, *shape)) for shape in shapes]
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(model(values) ** 2)
        return [gradient.numpy() for gradient in tape.gradient(loss, values)]

    expected = gradients()
    accelerate(model)
    assert_same(gradients(), expected)


def test_input_dropout_drops_what_keras_drops() -> None:
    import keras

    def dropped(accelerated: bool) -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        model = model_of(9, 5, units=7, dropout=0.5, seed=4)
        if accelerated:
            accelerate(model)
        return outputs_and_gradients(model, random_input(6, 9, 5), training=True)

    assert_same(dropped(True), dropped(False))


@pytest.mark.parametrize("pooling", ["last", "max+mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_masked_as_keras_masks_it(bidirectional: bool, pooling: str) -> None:
    import tensorflow as tf

    params = small(bidirectional=bidirectional, pooling=pooling, mask_padding=True, layers=2)
    model = prepared(params).model
    x = np.array([[0, 0, 1, 2, 3, 4], [1, 2, 3, 0, 0, 0], [0, 0, 0, 0, 0, 5], [9, 8, 7, 6, 5, 4]])

    def both() -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = tf.reduce_sum(outputs * np.array([[1.0], [-2.0], [3.0], [-4.0]], "f"))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_variables])
        return [outputs.numpy(), *(tf.convert_to_tensor(value).numpy() for value in gradients)]

    expected = both()
    accelerate(model)
    assert_same(both(), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bidirectional": True, "pooling": "max+mean"},
        {"mask_padding": True},
        {"dropout": {"input": 0.2, "embedding": 0.2, "head": 0.2, "word": 0.2}},
        {"layers": 2, "pooling": "max", "segment_length": 2, "label_smoothing": 0.1},
        {
            "adversarial": 5.0,
            "bigrams": {"units": 2, "buckets": 50},
            "bidirectional": True,
            "mask_padding": True,
            "pooling": "max",
        },
    ],
    ids=str,
)
def test_same_seed_gives_the_same_learning_curve(changes: dict[str, Any]) -> None:
    params = small(epochs=3, **changes)
    stock, ours = learn(params), learn(params, accelerate=True)
    for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert ours.history[name].tolist() == pytest.approx(stock.history[name], rel=1e-4)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("changes", OPTIMIZERS, ids=str)
def test_updates_are_those_of_keras_with_every_optimizer(
    changes: dict[str, Any], clip_norm: float
) -> None:
    scheduled = {"schedule": {"kind": "cosine", "warmup_epochs": 0.4}, "average": 0.5}
    params = small(**changes, clip_norm=clip_norm, **(scheduled if clip_norm else {}))
    stock, ours = (prepared(params).model for _ in range(2))
    accelerate(ours)
    for step in range(3):
        rng = np.random.default_rng(step)
        gradients = [
            rng.normal(size=weight.shape).astype("f") for weight in stock.trainable_variables
        ]
        for model in (stock, ours):
            model.optimizer.apply(gradients, model.trainable_variables)
    models = (ours, stock)
    assert_same(*([v.numpy() for v in model.trainable_variables] for model in models))
    assert_same(*([v.numpy() for v in model.optimizer.variables] for model in models))


def test_what_is_saved_is_plain_keras(tmp_path: Path) -> None:
    import keras

    params = small(bidirectional=True)
    model = build_model(params, inputs(20, 6))
    x, y = np.arange(48).reshape(8, 6) % 20, np.arange(8) % 2
    accelerate(model, params)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.get_layer("bidirectional").forward_layer) is keras.layers.LSTM
    assert "inner_loop" not in vars(loaded.get_layer("bidirectional").forward_layer)
    modules = {entry["module"] for entry in loaded.get_config()["layers"]}
    assert modules == {"keras.layers"}
    assert_same([loaded.predict(x, verbose=0)], [model.predict(x, verbose=0)])
    assert int(loaded.optimizer.iterations) == 1
    for kept, saved in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(kept, saved)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, "fast LSTM"),
        ({"dropout": {"input": 0.1, "embedding": 0.1, "head": 0.1}}, "fast LSTM"),
        ({"accelerate": False}, "stock Keras: train.accelerate is false"),
        ({"cell": "gru"}, "stock Keras: a gru has no other path"),
        ({"cell": "simple_rnn"}, "stock Keras: a simple_rnn has no other path"),
        (TRANSFORMER, "stock Keras: a transformer has no other path"),
        ({"dropout": {"recurrent": 0.1}}, "stock Keras: train.dropout.recurrent is not 0"),
    ],
)
def test_the_path_is_named_with_what_stands_in_the_fast_ones_way(
    changes: dict[str, Any], path: str
) -> None:
    params = small(**changes)
    assert accelerate(build_model(params, inputs(20, 6)), params) == path


def test_a_gpu_is_left_to_its_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(small(), inputs(20, 6))
    monkeypatch.setattr(GPU, lambda *_: ["GPU:0"])
    assert "GPU" in accelerate(model)
    assert "inner_loop" not in vars(model.get_layer("lstm"))
