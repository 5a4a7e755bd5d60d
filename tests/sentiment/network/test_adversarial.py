"""A step learns from the reviews as they are and as they mislead most."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.network import training
from sentiment.network.model import save_model
from tests.conftest import inputs
from tests.project import TRANSFORMER
from tests.sentiment.network.test_training import parts, small

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
RATE = 0.5


def model(shift: float, average: float = 0.0) -> "keras.Model":
    params = small(adversarial=shift, optimizer="sgd", learning_rate=RATE, average=average)
    return training.initial_model(params, inputs(20, 6), parts()[0])


def step(taken: "keras.Model") -> dict[str, float]:
    """One step on the same 32 reviews."""
    learning, _ = parts()
    history = taken.fit(learning.x[:32], learning.y[:32], batch_size=32, verbose=0).history
    return {name: values[0] for name, values in history.items()}


def by_hand(start: "keras.Model", shift: float) -> tuple[float, float, list[np.ndarray]]:
    """Loss, loss of the shifted reviews, and the weights after a step, by the paper's formulas."""
    import keras
    import tensorflow as tf

    learning, _ = parts()
    x, y = learning.x[:32], tf.constant(learning.y[:32, None], tf.float32)
    embedding = start.get_layer("embedding")
    after = keras.Model(embedding.output, start.output)
    weights = [each.value for each in start.trainable_variables]

    def loss(shifts: np.ndarray | float) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape(persistent=True) as tape:
            vectors = embedding(x) + shifts
            tape.watch(vectors)
            p = after(vectors)
            value = -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))
        return value, tape.gradient(value, weights), tape.gradient(value, vectors)

    clean, gradients, to_vectors = loss(0.0)
    size = np.sqrt(np.mean(embedding.get_weights()[0] ** 2))
    norms = np.sqrt(np.sum(to_vectors.numpy() ** 2, axis=(1, 2), keepdims=True))
    misled, more, _ = loss(shift * size * to_vectors.numpy() / norms)
    stepped = [
        weight - RATE * (tf.convert_to_tensor(one) + tf.convert_to_tensor(other)) / 2
        for weight, one, other in zip(weights, gradients, more, strict=True)
    ]
    return float(clean), float(misled), [weight.numpy() for weight in stepped]


def test_a_step_is_that_of_the_mean_of_both_losses() -> None:
    clean, misled, expected = by_hand(model(0.0), 5.0)
    taken = model(5.0)
    assert step(taken)["loss"] == pytest.approx((clean + misled) / 2, rel=1e-5)
    for weight, value in zip(taken.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=1e-6)


def test_a_longer_shift_misleads_more() -> None:
    losses = [step(model(shift))["loss"] for shift in (0.0, 5.0, 20.0)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1] - 0.01


def test_accuracy_is_of_the_reviews_as_they_are() -> None:
    assert step(model(500.0))["accuracy"] == step(model(0.0))["accuracy"]


def test_a_model_that_is_sure_of_all_is_not_shifted() -> None:
    sure = model(5.0)
    kernel, bias = sure.get_layer("probability").get_weights()
    sure.get_layer("probability").set_weights([kernel * 0, bias + 1000])
    assert np.isfinite(step(sure)["loss"])


@pytest.mark.parametrize("changes", [{"mask_padding": True}, TRANSFORMER], ids=str)
def test_a_model_that_masks_padding_can_be_saved(changes: dict[str, Any], tmp_path: Path) -> None:
    params = small(**changes, adversarial=1.0)
    trained = training.initial_model(params, inputs(20, 6), parts()[0])
    step(trained)
    save_model(trained, tmp_path / "model.keras")
    loaded = load_keras().saving.load_model(tmp_path / "model.keras")
    x = parts()[1].x
    np.testing.assert_array_equal(loaded(x), trained(x))
