from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.network import training
from sentiment.network.batches import Split, train_validation_split
from sentiment.network.params import TrainParams
from sentiment.network.progress import METRICS, NO_PROGRESS, OnEpoch, Progress, TrainingResult
from sentiment.network.training import Training
from sentiment.network.word_vectors import word_vectors
from tests.conftest import defaults, inputs
from tests.project import SMALL, TRANSFORMER, merge_changes
from workflow.params import Params, validate_params

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
Changes = dict[str, Any]
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss")


def small_train_params(**changes: Any) -> TrainParams:
    document = merge_changes(merge_changes(defaults(), SMALL), {"train": changes})
    return validate_params(document, "params.yaml").train


def new_training(
    params: TrainParams, accelerate: bool = False, train_split: Split | None = None
) -> Training:
    """Return a training before its first epoch, on the fast path if `accelerate` is true."""
    changed = params.model_copy(update={"accelerate": params.accelerate and accelerate})
    default, val_split = splits()
    return Training(changed, inputs(20, 6), train_split or default, val_split)


def train(
    params: TrainParams, accelerate: bool = False, on_epoch: OnEpoch = lambda _: None
) -> TrainingResult:
    return new_training(params, accelerate).fit(NO_PROGRESS, on_epoch)


def reviews() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return 200 short reviews and their labels."""
    x = np.random.default_rng(0).integers(0, 20, (200, 6)).astype(np.uint16)
    return x, (x[:, 0] > 9).astype(np.uint8)


def splits() -> tuple[Split, Split]:
    """Return the training set and the validation set of `reviews`."""
    return train_validation_split(*reviews(), 0.2)


def validation_metrics(model: "keras.Model") -> dict[str, float]:
    """Return loss and accuracy of a model on the validation set."""
    metrics: dict[str, float] = model.evaluate(*splits()[1], verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in metrics.items()}


def test_history_equals_stock_keras_and_each_epoch_is_reported() -> None:
    reported: list[Progress] = []
    trained = train(small_train_params(seed=5), on_epoch=reported.append)
    keras = load_keras()
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Embedding(20, 4), keras.layers.LSTM(4)]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), *layers, head])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    arguments = {"batch_size": 32, "epochs": 2, "validation_split": 0.2, "verbose": 0}
    stock = model.fit(*reviews(), **arguments).history
    for name in CURVES:
        assert trained.history[name].tolist() == pytest.approx(stock[name], rel=1e-6)
    assert list(trained.history) == ["epoch", *METRICS]
    assert (trained.history["epoch"].tolist(), trained.kept_epoch) == ([1, 2], 2)
    assert [len(progress.epochs) for progress in reported] == [1, 2]
    assert reported[-1].epochs == trained.history[[*METRICS]].to_dict("records")


def test_balanced_class_weights_equal_keras() -> None:
    train_split, _ = splits()
    rare = Split(train_split.x[:30], (np.arange(30) % 5 == 0).astype(np.uint8))
    params = small_train_params(class_weight="balanced", epochs=1, optimizer="sgd")
    ours = new_training(params, train_split=rare)
    stock = new_training(small_train_params(optimizer="sgd")).model
    trained = ours.fit(NO_PROGRESS, lambda _: None, verbose=False)
    weights = {0: 30 / (2 * 24), 1: 30 / (2 * 6)}
    history = stock.fit(*rare, batch_size=32, class_weight=weights, verbose=0).history
    assert trained.history["loss"].tolist() == pytest.approx(history["loss"], rel=1e-5)
    for one, other in zip(ours.model.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_best_epoch_can_be_kept_without_early_stopping() -> None:
    best = new_training(small_train_params(epochs=8, learning_rate=0.5, keep_best=True))
    trained = best.fit(NO_PROGRESS, lambda _: None)
    losses = trained.history["val_loss"].tolist()
    assert len(losses) == 8
    assert trained.kept_epoch == losses.index(min(losses)) + 1 < 8
    assert validation_metrics(best.model)["val_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_training_metrics_are_those_of_the_kept_epoch() -> None:
    history = pd.DataFrame({"epoch": [1, 2], **{name: [0.25, 0.5] for name in METRICS}})
    expected = {**dict.fromkeys(CURVES, 0.25), "kept_epoch": 1, "epochs": 2}
    assert training.training_metrics(TrainingResult(history, 1)) == expected


def test_operations_that_are_not_deterministic_are_refused(small_params: Params) -> None:
    import tensorflow as tf

    training.set_seeds(small_params.train)
    with pytest.raises(RuntimeError, match="determinism is enabled"):
        tf.random.Generator.from_non_deterministic_state()


STOPPED: Changes = {
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "schedule": {"kind": "cosine", "warmup_epochs": 1.5},
    "early_stopping": {"patience": 1, "monitor": "val_loss", "min_delta": 100.0},
}
RESUMED: list[Changes] = [
    {"cell": "gru", "optimizer": "nadam", "dropout": {"recurrent": 0.3, "input": 0.3}},
    {
        "optimizer": "rmsprop",
        "embedding_initializer": "cooccurrence",
        "bidirectional": True,
        "mask_padding": True,
        "segment_length": 2,
        "pooling": "max+mean",
        "dropout": {"word": 0.3, "embedding": 0.3, "input": 0.3, "head": 0.3},
        "label_smoothing": 0.1,
    },
    {**TRANSFORMER, "pooling": "max+mean", "dropout": {"input": 0.3, "head": 0.3}},
    {"architecture": "linear", "linear": {"max_features": 64, "min_reviews": 1, "ending": 0.0}},
    STOPPED,  # stops after two epochs
]


def assert_same(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> None:
    """Check that two captured states are the same to the bit."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_vectors_are_initialized_from_the_training_set() -> None:
    model = new_training(small_train_params(embedding_initializer="cooccurrence")).model
    vectors = model.get_layer("embedding").get_weights()[0]
    np.testing.assert_allclose(vectors, word_vectors(splits()[0].x, 20, 4, (0, 2)), atol=1e-6)


@pytest.mark.parametrize("changes", RESUMED, ids=str)
def test_resumed_training_gives_the_same_bits(changes: Changes) -> None:
    """Restore each state into the same training, which must undo all later epochs."""
    trained = new_training(small_train_params(epochs=3, **changes), accelerate=True)
    states: list[dict[str, NDArray[Any]]] = []
    whole = trained.fit(NO_PROGRESS, lambda progress: states.append(trained.capture(progress)))
    end = trained.capture(NO_PROGRESS)
    assert (len(states), whole.kept_epoch) == (2, 1) if changes == STOPPED else len(states) == 3
    for after in range(1, len(states) + 1):
        progress = trained.restore(states[after - 1])
        assert len(progress.epochs) == after
        resumed = trained.fit(progress, lambda _: None)
        assert resumed.kept_epoch == whole.kept_epoch
        assert resumed.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))
        assert_same(trained.capture(NO_PROGRESS), end)
