"""A training equals Keras' own, stops in time, and resumes to the same bits."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model.batches import Split
from sentiment.model.training import EPOCH_METRICS, State, Training
from tests.models import LINEAR, new_training, reviews, splits

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.slow
STOPPED: dict[str, Any] = {
    "cell": "simple_rnn",
    "learning_rate": 0.5,
    "epochs": 9,
    "patience": 2,
    "dropout": {"embedding": 0.3, "input": 0.3, "recurrent": 0.3, "head": 0.3},
}
RESUMED: dict[str, dict[str, Any]] = {
    "recurrent with dropout and patience": STOPPED,
    "linear with a schedule": {**LINEAR, "schedule": "cosine"},
}


def fit(training: Training) -> list[State]:
    """Train the remaining epochs, and return the state after each."""
    states: list[State] = []
    training.fit(lambda: states.append(training.capture()))
    return states


def assert_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Check that two captured states are the same to the bit."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def with_losses(training: Training, *losses: float) -> Training:
    """Return a training that had these validation losses."""
    row = dict.fromkeys(EPOCH_METRICS, 0.0)
    training.epoch_metrics = [{**row, "val_loss": loss} for loss in losses]
    return training


def validation_loss(model: "keras.Model") -> float:
    loss: float = model.evaluate(*splits()[1], verbose=0, return_dict=True)["loss"]
    return loss


def test_history_equals_stock_keras_and_each_epoch_is_reported() -> None:
    training = new_training(seed=5)
    reported: list[int] = []
    training.fit(lambda: reported.append(len(training.epoch_metrics)))
    keras = load_keras()
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Embedding(20, 4), keras.layers.LSTM(4)]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), *layers, head])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    arguments = {"batch_size": 32, "epochs": 2, "validation_split": 0.2, "verbose": 0}
    stock = model.fit(*reviews(), **arguments).history
    for name in EPOCH_METRICS:
        assert training.history[name].tolist() == pytest.approx(stock[name], rel=1e-6)
    assert list(training.history) == ["epoch", *EPOCH_METRICS]
    assert training.history["epoch"].tolist() == reported == [1, 2]
    last = training.history.iloc[-1][[*EPOCH_METRICS]].to_dict()
    assert training.metrics == {**last, "weights_from_epoch": 2}


def test_balanced_class_weights_equal_keras() -> None:
    x = splits()[0].x[:30]
    rare = Split(x, (np.arange(30) % 5 == 0).astype(np.uint8))
    changes: dict[str, Any] = {"cell": "simple_rnn", "epochs": 1, "optimizer": "sgd"}
    ours = new_training(rare, class_weight="balanced", **changes)
    stock = new_training(rare, **changes).model
    fit(ours)
    weights = {0: 30 / (2 * 24), 1: 30 / (2 * 6)}
    history = stock.fit(*rare, batch_size=32, class_weight=weights, verbose=0).history
    assert ours.history["loss"].tolist() == pytest.approx(history["loss"], rel=1e-5)
    for one, other in zip(ours.model.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_resumed_training_gives_the_same_bits(changes: dict[str, Any]) -> None:
    """Resume before the last epoch, and when only the best weights remain to be restored."""
    whole = new_training(**changes)
    states = fit(whole)
    for remaining in (1, 0) if "patience" in changes else (1,):
        resumed = new_training(**changes)
        resumed.restore(states[-1 - remaining])
        assert len(resumed.epoch_metrics) == len(states) - remaining
        later = fit(resumed)
        assert len(later) == remaining
        assert_same((later or states)[-1], states[-1])
        assert_same(resumed.capture(), whole.capture())
        assert resumed.metrics == whole.metrics


def test_patience_stops_and_keeps_the_weights_of_the_best_epoch() -> None:
    training = new_training(**STOPPED)
    fit(training)
    losses = training.history["val_loss"].tolist()
    best = int(np.argmin(losses)) + 1
    assert len(losses) == best + STOPPED["patience"] < STOPPED["epochs"]
    assert (training.weights_from_epoch, training.metrics["val_loss"]) == (best, min(losses))
    assert validation_loss(training.model) == pytest.approx(min(losses), rel=1e-5)


def test_training_is_done_after_its_epochs_or_when_patience_ends() -> None:
    training = new_training(epochs=5, patience=2)
    assert not training.is_done
    expected: dict[tuple[float, ...], bool] = {
        (1,): False,
        (1, 2): False,
        (1, 2, 2): True,
        (2, 3, 1, 3): False,
        (5, 4, 3, 2, 1): True,
    }
    assert {losses: with_losses(training, *losses).is_done for losses in expected} == expected
    without = new_training(epochs=5, patience=0)
    assert not with_losses(without, 1, 2, 3, 4).is_done


def test_kept_epoch_is_the_first_of_the_best_ones_or_the_last_without_patience() -> None:
    assert with_losses(new_training(patience=2), 3, 1, 1, 2).weights_from_epoch == 2
    assert with_losses(new_training(patience=0), 3, 1, 1, 2).weights_from_epoch == 4


def test_training_that_diverges_is_refused() -> None:
    training = new_training(cell="simple_rnn", optimizer="sgd", learning_rate=10.0)
    for variable in training.model.trainable_variables:
        variable.assign(np.full(variable.shape, np.inf))
    with pytest.raises(UserError, match=r"diverged in epoch 1 .*Lower learning_rate"):
        fit(training)


def test_operations_that_are_not_deterministic_are_refused() -> None:
    new_training()
    import tensorflow as tf

    with pytest.raises(RuntimeError, match="determinism is enabled"):
        tf.random.Generator.from_non_deterministic_state()


def test_keras_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(new_training(cell="simple_rnn", epochs=1))


def test_network_of_three_labels_learns() -> None:
    x, _ = reviews()
    y = (x[:, -1] // 7).astype(np.uint8)  # three thirds of the words
    training = new_training(
        Split(x, y), label_count=3, cell="simple_rnn", epochs=15, learning_rate=0.05
    )
    training.val_split = Split(x[:40], y[:40])
    training.fit(lambda: None)
    assert training.metrics["val_accuracy"] > 0.9
