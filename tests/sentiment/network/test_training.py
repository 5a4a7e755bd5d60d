from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network import training
from sentiment.network.batches import Part, split
from sentiment.network.state import METRICS, START, OnEpoch, Progress, Trained
from sentiment.network.train_options import Train
from sentiment.network.training import Training
from tests.conftest import defaults, inputs
from tests.project import SMALL, TRANSFORMER, merged
from workflow.params import Params, check_params

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.usefixtures("backend")
Changes = dict[str, Any]
OPTIMIZERS: list[Changes] = [
    *({"optimizer": name} for name in ("adam", "nadam", "rmsprop", "sgd")),
    {"optimizer": "adamw", "weight_decay": 0.01},
]
CURVES = ("accuracy", "loss", "val_accuracy", "val_loss")


def small(**changes: Any) -> Train:
    document = merged(merged(defaults(), SMALL), {"train": changes})
    return check_params(document, "params.yaml").train


def prepared(params: Train, accelerate: bool = False, learning: Part | None = None) -> Training:
    """A training as the stage has it before the first epoch; on the fast path if that is wanted."""
    changed = params.model_copy(update={"accelerate": params.accelerate and accelerate})
    default, validation = parts()
    return Training(changed, inputs(20, 6), learning or default, validation)


def learn(params: Train, accelerate: bool = False, on_epoch: OnEpoch = lambda _: None) -> Trained:
    return prepared(params, accelerate).fit(START, on_epoch)


def reviews() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Few short reviews and their labels."""
    x = np.random.default_rng(0).integers(0, 20, (200, 6)).astype(np.uint16)
    return x, (x[:, 0] > 9).astype(np.uint8)


def parts() -> tuple[Part, Part]:
    """These, to learn from and to validate on."""
    return split(*reviews(), 0.2)


def validated(model: "keras.Model") -> dict[str, float]:
    """Loss and accuracy of a model on the validation part."""
    metrics: dict[str, float] = model.evaluate(*parts()[1], verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in metrics.items()}


def test_history_has_a_row_for_each_epoch_and_each_is_told_as_it_ends() -> None:
    reported: list[Progress] = []
    trained = learn(small(epochs=3), on_epoch=reported.append)
    assert list(trained.history) == ["epoch", *METRICS]
    assert trained.history["epoch"].tolist() == [1, 2, 3]
    assert trained.kept_epoch == 3
    assert [len(progress.rows) for progress in reported] == [1, 2, 3]
    assert [row["loss"] for row in reported[-1].rows] == trained.history["loss"].tolist()
    assert (trained.history["seconds"] > 0).all()
    other = learn(small(epochs=1, seed=1)).history["loss"]
    assert other[0] != trained.history["loss"][0]


def test_curve_is_the_one_of_stock_keras_with_the_seed() -> None:
    ours = learn(small(seed=5)).history
    keras = load_keras()
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Embedding(20, 4), keras.layers.LSTM(4)]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), *layers, head])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    options = {"batch_size": 32, "epochs": 2, "validation_split": 0.2, "verbose": 0}
    stock = model.fit(*reviews(), **options).history
    for name in CURVES:
        assert ours[name].tolist() == pytest.approx(stock[name], rel=1e-6)


def rare() -> Part:
    """Reviews of which a fifth is positive, in one batch."""
    learning, _ = parts()
    return Part(learning.x[:30], (np.arange(30) % 5 == 0).astype(np.uint8))


@pytest.mark.parametrize("adversarial", [0.0, 1e-9])
def test_balanced_labels_count_as_by_keras_class_weights(adversarial: float) -> None:
    params = small(class_weight="balanced", epochs=1, optimizer="sgd", adversarial=adversarial)
    ours, stock = prepared(params, learning=rare()), prepared(small(optimizer="sgd")).model
    trained = ours.fit(START, lambda _: None, show=False)
    weights = {0: 30 / (2 * 24), 1: 30 / (2 * 6)}
    history = stock.fit(*rare(), batch_size=32, class_weight=weights, verbose=0).history
    assert trained.history["loss"].tolist() == pytest.approx(history["loss"], rel=1e-5)
    for one, other in zip(ours.model.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_labels_that_are_all_the_same_cannot_be_balanced() -> None:
    params = small(class_weight="balanced")
    same = Part(rare().x, np.zeros(30, np.uint8))
    with pytest.raises(UserError, match=r"class_weight balanced: all 30 reviews"):
        prepared(params, learning=same).fit(START, lambda _: None)


def test_early_stopping_keeps_the_best_epoch() -> None:
    trained = learn(small(epochs=9, **STOPPED))
    assert len(trained.history) == 2
    assert trained.kept_epoch == 1


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_the_best_epoch_can_be_kept_without_stopping(average: float) -> None:
    params = small(epochs=8, learning_rate=0.5, average=average, keep_best=True)
    best = prepared(params)
    trained = best.fit(START, lambda _: None)
    losses = trained.history["val_loss"].tolist()
    assert len(losses) == 8
    assert trained.kept_epoch == losses.index(min(losses)) + 1 < 8
    assert validated(best.model)["val_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_averages_of_the_weights_are_validated_and_kept() -> None:
    averaged, seen = prepared(small(epochs=3, average=0.9)), []
    model = averaged.model

    def look(_: Progress) -> None:
        averages = model.optimizer._model_variables_moving_average
        both = model.trainable_variables, averages
        seen.append([[variable.numpy().copy() for variable in part] for part in both])

    row = averaged.fit(START, look).history.iloc[-1]
    assert validated(model) == pytest.approx(row[["val_loss", "val_accuracy"]].to_dict(), rel=1e-5)
    (last, averages), kept = seen[-1], model.trainable_variables
    assert all(np.array_equal(mine, its) for mine, its in zip(kept, averages, strict=True))
    assert not any(np.array_equal(mine, its) for mine, its in zip(kept, last, strict=True))


def apply(model: "keras.Model", gradient: float) -> None:
    """Take a step along gradients of this one number."""
    gradients = [np.full(weight.shape, gradient, "f") for weight in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)


def test_an_average_weighs_the_steps_by_its_momentum() -> None:
    model = prepared(small(average=0.75, optimizer="sgd")).model
    taken: list[np.ndarray] = []
    for step in range(3):
        apply(model, step + 1)
        taken.append(model.get_layer("probability").bias.numpy())
    first, second, third = taken
    expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    (average,) = model.optimizer._model_variables_moving_average[-1:]
    np.testing.assert_allclose(average, expected, rtol=1e-6)


def test_metrics_are_those_of_the_kept_epoch() -> None:
    history = pd.DataFrame({"epoch": [1, 2], **{name: [0.25, 0.5] for name in METRICS}})
    expected = {**dict.fromkeys(CURVES, 0.25), "kept_epoch": 1, "epochs": 2}
    assert training.summarize(Trained(history, 1)) == expected


def test_deterministic_operations_are_asked_for(small_params: Params) -> None:
    from tensorflow.python.framework import config

    training.prepare(small_params.train)
    assert config.is_op_determinism_enabled()


RESUMED: list[Changes] = [
    {"accelerate": False, "dropout": {"recurrent": 0.3, "input": 0.3}},
    {"cell": "gru"},
    {"bidirectional": True, "pooling": "max+mean", "segment_length": 2},
    {
        "mask_padding": True,
        "dropout": {"word": 0.3, "embedding": 0.3, "input": 0.3, "head": 0.3},
        "label_smoothing": 0.1,
    },
    {
        "adversarial": 5.0,
        "embedding_initializer": "cooccurrence",
        "bigrams": {"units": 2, "buckets": 50},
        "dropout": {"embedding": 0.3},
    },
    {
        "average": 0.9,
        "keep_best": True,
        "learning_rate": 0.1,
        "weight_decay": 0.01,
        "schedule": {"kind": "cosine", "warmup_epochs": 1.5},
    },
    {**TRANSFORMER, "pooling": "max+mean", "dropout": {"input": 0.3, "head": 0.3}},
]
STOPPED = {"early_stopping": {"patience": 1, "monitor": "val_loss", "min_delta": 100.0}}


@cache
def never_stopped(params: Train) -> "tuple[Training, Trained, list[dict[str, NDArray[Any]]]]":
    """A training without a stop, once for all tests of these params, and its state each epoch."""
    whole = prepared(params, accelerate=True)
    states: list[dict[str, NDArray[Any]]] = []
    trained = whole.fit(START, lambda progress: states.append(whole.capture(progress)))
    return whole, trained, states


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        *((changes, 2) for changes in RESUMED),
        *(({}, after) for after in (1, 3)),
        *((STOPPED, after) for after in (1, 2)),  # which ends after two epochs
    ],
    ids=str,
)
def test_a_resumed_training_has_the_bits_of_a_whole_one(changes: Changes, after: int) -> None:
    params = small(epochs=3, **changes)
    whole, expected, states = never_stopped(params)
    resumed = prepared(params, accelerate=True)
    progress = resumed.restore(states[after - 1])
    assert len(progress.rows) == after
    trained = resumed.fit(progress, lambda _: None)
    assert trained.kept_epoch == expected.kept_epoch
    of_resumed, of_whole = (
        result.history.drop(columns="seconds") for result in (trained, expected)
    )
    pd.testing.assert_frame_equal(of_resumed, of_whole)
    assert_same_state(resumed.model, whole.model)


def assert_same_state(first: "keras.Model", second: "keras.Model") -> None:
    for mine, its in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(mine, its)
    for mine, its in zip(first.optimizer.variables, second.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("changes", OPTIMIZERS, ids=str)
def test_a_step_after_a_checkpoint_is_the_same_with_every_optimizer(changes: Changes) -> None:
    first, second = (prepared(small(**changes, seed=seed)) for seed in (1, 2))
    apply(first.model, 0.1)
    arrays = first.capture(START)
    apply(first.model, 0.1)
    assert second.restore(arrays) == START
    apply(second.model, 0.1)
    assert_same_state(second.model, first.model)
