from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages import train
from stages.backend import load_keras
from stages.command import UserError
from stages.model import build_model
from stages.params import Params, Train, check_params

from .conftest import SMALL, defaults, merged


def small(**changes: Any) -> Train:
    document = merged(merged(defaults(), SMALL), {"train": changes})
    return check_params(document, "params.yaml").train


def learn(
    params: Train,
    calls: list[tuple[int, dict[str, float]]] | None = None,
    path: Callable[[Any, Train], str] | None = None,
) -> train.Trained:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (200, 6)).astype(np.uint16)
    y = (x[:, 0] > 9).astype(np.uint8)
    train.prepare(params)
    model = build_model(params, 20, 6)
    if path:
        path(model, params)
    record = [] if calls is None else calls
    return train.fit(
        model, *train.split(x, y, 0.2), params, lambda epoch, row: record.append((epoch, row))
    )


@pytest.mark.parametrize(("reviews", "share"), [(100, 0.2), (25_000, 0.2), (7, 0.3), (1001, 0.15)])
def test_split_cuts_where_keras_cuts(reviews: int, share: float) -> None:
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    x, y = np.arange(reviews)[:, None], np.zeros(reviews, np.uint8)
    (keras_x, _), (keras_validation, _) = train_validation_split((x, y), share)
    learning, validation = train.split(x, y, share)
    assert np.array_equal(learning.x, keras_x)
    assert np.array_equal(validation.x, keras_validation)


def test_split_copies_nothing() -> None:
    x, y = np.zeros((10, 2)), np.zeros(10, np.uint8)
    learning, validation = train.split(x, y, 0.2)
    assert learning.x.base is x
    assert validation.x.base is x


@pytest.mark.parametrize(("reviews", "share"), [(10, 0.9999), (0, 0.5)])
def test_split_that_leaves_nothing_is_refused(reviews: int, share: float) -> None:
    x, y = np.zeros((reviews, 2)), np.zeros(reviews, np.uint8)
    with pytest.raises(UserError, match=r"train\.validation_split"):
        train.split(x, y, share)


def test_history_has_a_row_for_each_epoch_and_each_is_told_as_it_ends() -> None:
    calls: list[tuple[int, dict[str, float]]] = []
    trained = learn(small(epochs=3), calls)
    assert list(trained.history) == ["epoch", *train.FIGURES]
    assert trained.history["epoch"].tolist() == [1, 2, 3]
    assert [epoch for epoch, _ in calls] == [1, 2, 3]
    assert [row["loss"] for _, row in calls] == trained.history["loss"].tolist()
    assert (trained.history["seconds"] > 0).all()


def test_same_seed_gives_the_same_curve_and_another_seed_another() -> None:
    first, again, other = (learn(small(seed=seed)).history["loss"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_curve_is_the_one_of_stock_keras() -> None:
    params = small(seed=5, epochs=2)
    ours = learn(params).history
    keras = load_keras()
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (200, 6))
    y = (x[:, 0] > 9).astype(np.uint8)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Embedding(20, 4),
            keras.layers.LSTM(4),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    stock = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.2, verbose=0).history
    for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert ours[name].tolist() == pytest.approx(stock[name], rel=1e-6)


def test_early_stopping_keeps_the_best_epoch() -> None:
    stopping = {"patience": 1, "monitor": "val_loss", "min_delta": 100.0}
    trained = learn(small(epochs=9, early_stopping=stopping))
    assert len(trained.history) == 2
    assert trained.kept_epoch == 1


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    assert learn(small(epochs=2)).kept_epoch == 2


def test_metrics_are_those_of_the_kept_epoch() -> None:
    history = pd.DataFrame({"epoch": [1, 2], **{name: [0.25, 0.5] for name in train.FIGURES}})
    assert train.summarize(train.Trained(history, 1)) == {
        "accuracy": 0.25,
        "loss": 0.25,
        "val_accuracy": 0.25,
        "val_loss": 0.25,
        "kept_epoch": 1,
        "epochs": 2,
    }


@pytest.mark.parametrize(
    ("changes", "dataset", "experiment", "name"),
    [
        ({}, "imdb", None, "lstm-64 · len 200 · seed 42"),
        ({"seed": 7, "units": 32}, "imdb", None, "lstm-32 · len 200 · seed 7"),
        (
            {"cell": "gru", "bidirectional": True, "pooling": "max+mean"},
            "imdb",
            None,
            "bi-gru-64 · max+mean · len 200 · seed 42",
        ),
        ({}, "synthetic", "tidy-wolf", "lstm-64 · len 200 · seed 42 · synthetic · tidy-wolf"),
    ],
)
def test_run_name_tells_the_runs_apart(
    changes: dict[str, Any], dataset: str, experiment: str | None, name: str
) -> None:
    params = check_params(merged(defaults(), {"train": changes}), "params.yaml").train
    shaping = {"pad.max_length": 200, "fetch.dataset": dataset}
    assert train.run_name(params, shaping, experiment) == name


def test_deterministic_operations_are_asked_for(small_params: Params) -> None:
    from tensorflow.python.framework import config

    train.prepare(small_params.train)
    assert config.is_op_determinism_enabled()
