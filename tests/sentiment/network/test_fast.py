"""The fast path computes what Keras' LSTM does: outputs, gradients, updates, learning curves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.network.model import build_model
from sentiment.network.train_options import Train
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import (
    CURVES,
    OPTIMIZERS,
    Changes,
    learn,
    prepared,
    small,
)

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
TOLERANCE = 1e-5  # float32


def model_of(shape: tuple[int, int], bidirectional: bool = False, **options: Any) -> "keras.Model":
    """An LSTM alone."""
    keras = load_keras()
    lstm = keras.layers.LSTM(**options)
    layer = keras.layers.Bidirectional(lstm) if bidirectional else lstm
    vectors = keras.Input(shape)
    model = keras.Model(vectors, layer(vectors))
    model.compile("adam", "mse")
    return model


def outputs_and_gradients(
    model: "keras.Model", *values: np.ndarray, training: bool = False
) -> list[np.ndarray]:
    """The outputs, then the gradients of the inputs and of every weight, for a random loss."""
    import tensorflow as tf

    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        variables = [tf.constant(value) for value in values]
        tape.watch(variables)
        read = variables if len(variables) > 1 else variables[0]
        outputs = tf.nest.flatten(model(read, training=training))
        scale = np.random.default_rng(1)
        loss = sum(tf.reduce_sum(o * scale.normal(size=o.shape).astype("f")) for o in outputs)
    gradients = tape.gradient(loss, [*variables, *weights])
    dense = [tf.convert_to_tensor(value) for value in gradients if value is not None]
    return [tensor.numpy() for tensor in [*outputs, *dense]]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        size = max(1.0, float(np.abs(other).max()))  # sums over thousands of terms are large
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * size)


def accelerate(model: "keras.Model", params: Train | None = None) -> str:
    from sentiment.network import fast

    return fast.accelerate(model, params or small())


def assert_same_when_accelerated(model: "keras.Model", *values: np.ndarray) -> None:
    expected = outputs_and_gradients(model, *values)
    accelerate(model)
    assert_same(outputs_and_gradients(model, *values), expected)


def random_input(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("f")


@pytest.mark.parametrize(
    ("batch", "steps", "features", "units", "sequences", "bidirectional"),
    [
        (64, 200, 64, 64, True, True),
        (64, 200, 64, 64, False, False),
        (1, 30, 5, 7, True, False),
        (1, 1, 5, 7, False, True),
        (7, 1, 5, 7, True, True),
        (13, 30, 11, 3, False, False),
    ],
)
def test_outputs_and_gradients_are_those_of_keras(
    batch: int, steps: int, features: int, units: int, sequences: bool, bidirectional: bool
) -> None:
    model = model_of((steps, features), bidirectional, units=units, return_sequences=sequences)
    assert_same_when_accelerated(model, random_input(batch, steps, features))


def test_final_states_and_their_gradients_are_those_of_keras() -> None:
    model = model_of((9, 5), units=7, return_sequences=True, return_state=True)
    assert_same_when_accelerated(model, random_input(6, 9, 5))


def test_states_before_the_first_step_and_their_gradients_are_those_of_keras() -> None:
    keras = load_keras()
    shapes = ((9, 5), (7,), (7,))
    start = [keras.Input(shape) for shape in shapes]
    model = keras.Model(start, keras.layers.LSTM(7)(start[0], initial_state=start[1:]))
    model.compile("adam", "mse")
    assert_same_when_accelerated(model, *(random_input(6, *shape) for shape in shapes))


def test_input_dropout_drops_what_keras_drops() -> None:
    def dropped(accelerated: bool) -> list[np.ndarray]:
        load_keras().utils.set_random_seed(3)
        model = model_of((9, 5), units=7, dropout=0.5, seed=4)
        if accelerated:
            accelerate(model)
        return outputs_and_gradients(model, random_input(6, 9, 5), training=True)

    assert_same(dropped(True), dropped(False))


@pytest.mark.parametrize(("bidirectional", "pooling"), [(False, "last"), (True, "max+mean")])
def test_padding_is_masked_as_keras_masks_it(bidirectional: bool, pooling: str) -> None:
    params = small(bidirectional=bidirectional, pooling=pooling, mask_padding=True, layers=2)
    model = prepared(params).model
    x = [[0, 0, 1, 2, 3, 4], [1, 2, 3, 0, 0, 0], [0, 0, 0, 0, 0, 5], [9, 8, 7, 6, 5, 4]]
    assert_same_when_accelerated(model, np.array(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": {"input": 0.2, "embedding": 0.2, "head": 0.2, "word": 0.2}},
        {"layers": 2, "pooling": "max+mean", "segment_length": 2, "label_smoothing": 0.1},
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
def test_same_seed_gives_the_same_learning_curve(changes: Changes) -> None:
    params = small(**changes)
    stock, ours = learn(params), learn(params, accelerate=True)
    for name in CURVES:
        assert ours.history[name].tolist() == pytest.approx(stock.history[name], rel=1e-4)


SCHEDULED = {
    "clip_norm": 0.5,
    "schedule": {"kind": "cosine", "warmup_epochs": 0.4},
    "average": 0.5,
}


@pytest.mark.parametrize(
    "changes", [*({**SCHEDULED, **optimizer} for optimizer in OPTIMIZERS), {}], ids=str
)
def test_updates_are_those_of_keras_with_every_optimizer(changes: Changes) -> None:
    params = small(**changes)
    stock, ours = (prepared(params).model for _ in range(2))
    accelerate(ours)
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = [
            rng.normal(size=weight.shape).astype("f") for weight in stock.trainable_variables
        ]
        for model in (stock, ours):
            model.optimizer.apply(gradients, model.trainable_variables)
    models = (ours, stock)
    assert_same(*([v.numpy() for v in model.trainable_variables] for model in models))
    assert_same(*([v.numpy() for v in model.optimizer.variables] for model in models))


def test_what_is_saved_is_plain_keras(tmp_path: Path) -> None:
    keras = load_keras()
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
        ({"dropout": {"input": 0.1, "embedding": 0.1, "head": 0.1}}, "fast LSTM"),
        ({"accelerate": False}, "stock Keras: train.accelerate is false"),
        ({"cell": "gru"}, "stock Keras: a gru has no other path"),
        ({"cell": "simple_rnn"}, "stock Keras: a simple_rnn has no other path"),
        (TRANSFORMER, "stock Keras: a transformer has no other path"),
        ({"dropout": {"recurrent": 0.1}}, "stock Keras: train.dropout.recurrent is not 0"),
    ],
)
def test_the_path_is_named_with_what_rules_out_the_fast_one(changes: Changes, path: str) -> None:
    params = small(**changes)
    assert accelerate(build_model(params, inputs(20, 6)), params) == path


def test_a_gpu_is_left_to_its_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(small(), inputs(20, 6))
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *_: ["GPU:0"])
    assert "GPU" in accelerate(model)
    assert "inner_loop" not in vars(model.get_layer("lstm"))
