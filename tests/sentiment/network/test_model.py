from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network.architectures import recurrent_layers
from sentiment.network.model import build_model, save_model
from sentiment.network.params import TrainParams
from tests.conftest import defaults, inputs
from tests.project import TRANSFORMER, merge_changes
from workflow.params import Params, validate_params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
BEFORE = [0, 0, 0, 7, 8, 9]
BEHIND = [7, 8, 9, 0, 0, 0]
SHORT = [7, 8, 9]


def train_params(**changes: Any) -> TrainParams:
    return validate_params(merge_changes(defaults(), {"train": changes}), "params.yaml").train


def probabilities(train: TrainParams, *reviews: list[int]) -> list[float]:
    """Return the probability of each review, by a model with the weights of a seed."""
    load_keras().utils.set_random_seed(1)
    model = build_model(train, inputs(50, len(reviews[0])))
    probabilities: list[float] = model(np.array(reviews)).numpy()[:, 0].tolist()
    return probabilities


def test_default_model_is_embedding_lstm_dense(default_params: Params) -> None:
    model = build_model(default_params.train, inputs(10_000, 200))
    parameters = [(type(layer).__name__, layer.count_params()) for layer in model.layers[1:]]
    assert parameters == [("Embedding", 640_000), ("LSTM", 33_024), ("Dense", 65)]
    assert model.get_layer("probability").activation.__name__ == "sigmoid"
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss.name == "binary_crossentropy"


def test_masked_predictions_equal_stock_keras() -> None:
    ours = probabilities(train_params(mask_padding=True), BEFORE, BEHIND)
    keras = load_keras()
    keras.utils.set_random_seed(1)
    read = [keras.layers.Embedding(50, 64, mask_zero=True), keras.layers.LSTM(64)]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), *read, head])
    assert ours == model(np.array([BEFORE, BEHIND])).numpy()[:, 0].tolist()


RECURRENT: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"cell": "gru", "bidirectional": True},
    {"cell": "simple_rnn", "bidirectional": True, "pooling": "max+mean"},
]


@pytest.mark.parametrize("changes", [*RECURRENT, TRANSFORMER], ids=str)
def test_masked_padding_does_not_change_predictions(changes: dict[str, Any]) -> None:
    train = train_params(**{"units": 8, "layers": 2, "mask_padding": True, **changes})
    before, behind = probabilities(train, BEFORE, BEHIND)
    assert 0 < before < 1
    assert before == pytest.approx(behind, abs=1e-6)
    assert [before] == pytest.approx(probabilities(train, SHORT), abs=1e-6)


def test_unmasked_padding_changes_predictions() -> None:
    before, behind = probabilities(train_params(units=8, layers=2), BEFORE, BEHIND)
    assert abs(before - behind) > 1e-6


def test_padding_is_masked_in_segments() -> None:
    train = train_params(segment_length=2, pooling="max+mean", mask_padding=True)
    assert probabilities(train, BEFORE) == pytest.approx(
        probabilities(train, [0, *SHORT]), abs=1e-6
    )


def test_layers_are_stacked_and_initialized_as_params_say() -> None:
    start = {"forget_bias": 2.5, "recurrent_initializer": "identity"}
    model = build_model(train_params(layers=3, units=3, bidirectional=True, **start), inputs(50, 9))
    shapes = [model.get_layer(f"bidirectional{n}").output.shape for n in ("", "_2", "_3")]
    assert shapes == [(None, 9, 6), (None, 9, 6), (None, 6)]
    assert len(recurrent_layers(model)) == 6
    for layer in recurrent_layers(model):
        assert layer.cell.bias.numpy().tolist() == [0] * 3 + [2.5] * 3 + [0] * 6
        np.testing.assert_array_equal(layer.cell.recurrent_kernel, np.eye(3, 12))


def test_each_segment_starts_with_a_new_state_and_all_are_pooled() -> None:
    model = build_model(train_params(segment_length=4, pooling="max+mean", units=4), inputs(50, 12))
    review = np.arange(5, 17)[None]
    vectors = model.get_layer("embedding")(review)
    states = [model.get_layer("lstm")(vectors[:, n : n + 4])[0].numpy() for n in (0, 4, 8)]
    together = np.concatenate(states)
    summary = np.concatenate([together.max(0), together.mean(0)])
    expected = model.get_layer("probability")(summary[None])
    np.testing.assert_allclose(model(review), expected, atol=1e-6)


def test_word_dropout_makes_words_unknown_but_keeps_padding() -> None:
    model = build_model(train_params(dropout={"word": 0.3}), inputs(50, 100))
    words = load_keras().Model(model.input, model.get_layer("embedding").input)
    tokens = np.tile([*[0] * 20, *[7] * 80], (100, 1))
    np.testing.assert_array_equal(words(tokens, training=False), tokens)
    seen = np.array(words(tokens, training=True))
    assert set(np.unique(seen)) == {0, 2, 7}
    np.testing.assert_array_equal(seen == 0, tokens == 0)
    assert np.mean(seen[tokens == 7] == 2) == pytest.approx(0.3, abs=0.03)
    assert (words(tokens, training=True) != seen).numpy().any()


NO_DIMENSIONS = {"embedding_initializer": "cooccurrence", "embedding_units": 60}


@pytest.mark.parametrize(
    ("train", "pad", "reason"),
    [
        (NO_DIMENSIONS, {"num_words": 60}, "there are no more dimensions than words"),
        ({"segment_length": 20}, {}, "segment_length 20 needs another pooling than last: the last"),
        ({"segment_length": 30, "pooling": "max"}, {}, "max_length 200 must be a multiple of"),
        ({"schedule": {"warmup_epochs": 5.0}}, {}, r"warmup_epochs 5 must be below epochs 5"),
        ({"optimizer": "adamw"}, {}, "adamw needs a weight_decay above 0"),
    ],
)
def test_contradicting_params_are_refused(
    train: dict[str, Any], pad: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        validate_params(merge_changes(defaults(), {"train": train, "pad": pad}), "params.yaml")


def test_dropouts_are_where_params_name_them() -> None:
    rates = {"embedding": 0.1, "input": 0.2, "recurrent": 0.3, "head": 0.4}
    model = build_model(train_params(dropout=rates), inputs(50, 9))
    cell = model.get_layer("lstm")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Embedding", "SpatialDropout1D", "LSTM", "Dropout", "Dense"]
    assert (model.layers[2].rate, model.layers[4].rate) == (0.1, 0.4)
    assert (cell.dropout, cell.recurrent_dropout) == (0.2, 0.3)


def test_optimizer_and_loss_are_those_of_params() -> None:
    changes = {"learning_rate": 0.05, "weight_decay": 0.03, "global_clipnorm": 0.5}
    train = train_params(optimizer="adamw", **changes, label_smoothing=0.2)
    model = build_model(train, inputs(50, 9))
    assert type(model.optimizer).__name__ == "AdamW"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert (model.optimizer.weight_decay, model.optimizer.global_clipnorm) == (0.03, 0.5)
    assert model.loss.label_smoothing == 0.2


RISING = 0.5 * np.arange(6) / 6


@pytest.mark.parametrize(
    ("kind", "warmup_epochs", "start", "falling"),
    [
        ("cosine", 0.0, [], 20),
        ("constant", 1.2, [*RISING, *[0.5] * 14], 0),
        ("cosine", 1.2, [*RISING], 14),
    ],
)
def test_learning_rate_rises_linearly_and_falls_by_a_cosine(
    kind: str, warmup_epochs: float, start: list[float], falling: int
) -> None:
    """Compare the rate of each step of four epochs of five steps."""
    schedule = {"kind": kind, "warmup_epochs": warmup_epochs}
    train = train_params(epochs=4, learning_rate=0.5, schedule=schedule)
    rate = build_model(train, inputs(50, 9)).optimizer._learning_rate
    expected = [*start, *(0.25 * (1 + np.cos(np.pi * step / falling)) for step in range(falling))]
    np.testing.assert_allclose([float(rate(step)) for step in range(20)], expected, atol=1e-6)


def test_model_with_all_params_is_loaded_as_saved(tmp_path: Path) -> None:
    changes = {"layers": 2, "bidirectional": True, "pooling": "max+mean", "segment_length": 4}
    changes |= {"mask_padding": True, "label_smoothing": 0.1, "weight_decay": 0.1}
    changes |= {"dropout": {"word": 0.3, "head": 0.3}, "units": 4}
    schedule = {"kind": "cosine", "warmup_epochs": 1.0}
    model = build_model(train_params(**changes, schedule=schedule), inputs(50, 8))
    save_model(model, tmp_path / "model.keras")
    loaded = load_keras().saving.load_model(tmp_path / "model.keras", safe_mode=True)
    tokens = np.random.default_rng(0).integers(0, 50, (20, 8))
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    assert np.ptp(model(tokens)) > 0
    modules = {entry["module"] for entry in loaded.get_config()["layers"]}
    assert {module.split(".")[0] for module in modules} == {"keras"}
