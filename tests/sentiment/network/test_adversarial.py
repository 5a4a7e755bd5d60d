"""A training step learns from reviews and from their adversarial variants."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment import gradients
from sentiment.backend import load_keras
from sentiment.network import training
from sentiment.network.model import save_model
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import parts, small

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
RATE = 0.5


def model(shift: float, **changes: Any) -> "keras.Model":
    params = small(adversarial=shift, optimizer="sgd", learning_rate=RATE, **changes)
    return training.build_initialized_model(params, inputs(20, 6), parts()[0])


def step(taken: "keras.Model") -> dict[str, float]:
    """One step on the same 32 reviews."""
    learning, _ = parts()
    history = taken.fit(learning.x[:32], learning.y[:32], batch_size=32, verbose=0).history
    return {name: values[0] for name, values in history.items()}


def by_hand(start: "keras.Model", shift: float) -> tuple[float, float, list[np.ndarray]]:
    """Mean of both losses, accuracy without a shift, and the weights after a step, by the paper."""
    import tensorflow as tf

    learning, _ = parts()
    x, y = learning.x[:32], tf.constant(learning.y[:32, None], tf.float32)
    embedding = start.get_layer("embedding")
    after = load_keras().Model(embedding.output, start.output)
    weights = [weight.value for weight in start.trainable_variables]

    def loss(shifts: np.ndarray | float) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape(persistent=True) as tape:
            vectors = embedding(x) + shifts
            tape.watch(vectors)
            p = after(vectors)
            value = -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))
        return value, p, tape.gradient(value, weights), tape.gradient(value, vectors)

    clean, p, slopes, to_vectors = loss(0.0)
    size = np.sqrt(np.mean(embedding.get_weights()[0] ** 2))
    norms = np.sqrt(np.sum(to_vectors.numpy() ** 2, axis=(1, 2), keepdims=True))
    misled, _, more, _ = loss(shift * size * to_vectors.numpy() / norms)
    stepped = [
        weight - RATE * (tf.convert_to_tensor(one) + tf.convert_to_tensor(other)) / 2
        for weight, one, other in zip(weights, slopes, more, strict=True)
    ]
    accuracy = float(np.mean((p.numpy() > 0.5) == y.numpy()))
    return float(clean + misled) / 2, accuracy, [weight.numpy() for weight in stepped]


def test_step_uses_mean_of_both_losses() -> None:
    loss, accuracy, expected = by_hand(model(0.0), 5.0)
    taken = model(5.0)
    assert step(taken) == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)
    for weight, value in zip(taken.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=1e-6)
    kernel, bias = taken.get_layer("probability").get_weights()
    taken.get_layer("probability").set_weights([kernel * 0, bias + 1000])
    assert np.isfinite(step(taken)["loss"])


@pytest.mark.parametrize(
    ("shift", "changes"), [(0.0, {"mask_padding": True}), (1.0, TRANSFORMER)], ids=str
)
def test_masked_adversarial_model_can_be_saved_after_measuring_gradients(
    shift: float, changes: dict[str, Any], tmp_path: Path
) -> None:
    trained = model(shift, **changes)
    gradients.measure_gradients(trained, parts()[1].x, 0, 3)
    step(trained)
    save_model(trained, tmp_path / "model.keras")
    loaded = load_keras().saving.load_model(tmp_path / "model.keras")
    x = parts()[1].x
    np.testing.assert_array_equal(loaded(x), trained(x))
