import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network.architectures import recurrent_layers
from sentiment.network.model import build_model, save_model
from sentiment.network.train_options import Train
from tests.conftest import defaults, inputs
from tests.project import merged
from workflow.params import Params, check_params

pytestmark = pytest.mark.usefixtures("backend")


def settings(**changes: Any) -> Train:
    return check_params(merged(defaults(), {"train": changes}), "params.yaml").train


def layers(train: Train) -> list[str]:
    return [type(layer).__name__ for layer in build_model(train, inputs(50, 9)).layers]


def test_default_is_the_missions_model(default_params: Params) -> None:
    model = build_model(default_params.train, inputs(10_000, 200))
    assert layers(default_params.train) == ["InputLayer", "Embedding", "LSTM", "Dense"]
    assert [layer.count_params() for layer in model.layers] == [0, 640_000, 33_024, 65]
    assert model.get_layer("probability").activation.__name__ == "sigmoid"
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss.name == "binary_crossentropy"


def test_default_predicts_what_stock_keras_predicts(default_params: Params) -> None:
    keras = load_keras()
    keras.utils.set_random_seed(3)
    ours = build_model(default_params.train, inputs(50, 9))
    keras.utils.set_random_seed(3)
    stock = keras.Sequential(
        [
            keras.Input((9,)),
            keras.layers.Embedding(50, 64),
            keras.layers.LSTM(64),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    x = np.arange(18).reshape(2, 9)
    assert np.array_equal(ours.predict(x, verbose=0), stock.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("cell", "layer"), [("lstm", "LSTM"), ("gru", "GRU"), ("simple_rnn", "SimpleRNN")]
)
def test_cell_is_the_one_named(cell: str, layer: str) -> None:
    assert layers(settings(cell=cell))[2] == layer


def test_bidirectional_wraps_the_cell() -> None:
    model = build_model(settings(bidirectional=True, units=5), inputs(50, 9))
    assert model.get_layer("bidirectional").output.shape == (None, 10)


def answers(train: Train, *reviews: list[int]) -> list[float]:
    """The probability of each review, by a model with the weights of a seed."""
    load_keras().utils.set_random_seed(1)
    model = build_model(train, inputs(50, len(reviews[0])))
    return [float(each) for each in model(np.array(reviews))[:, 0]]


BEFORE, BEHIND, SHORT = [0, 0, 0, 7, 8, 9], [7, 8, 9, 0, 0, 0], [0, 7, 8, 9]


@pytest.mark.parametrize("pooling", ["last", "max+mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_masked_padding_changes_no_answer(cell: str, bidirectional: bool, pooling: str) -> None:
    train = settings(
        cell=cell, bidirectional=bidirectional, pooling=pooling, mask_padding=True, layers=2
    )
    before, behind = answers(train, BEFORE, BEHIND)
    assert before == pytest.approx(behind, abs=1e-6)
    assert [before] == pytest.approx(answers(train, SHORT), abs=1e-6)
    before, behind = answers(train.model_copy(update={"mask_padding": False}), BEFORE, BEHIND)
    assert abs(before - behind) > 1e-6


def test_masked_padding_is_that_of_keras() -> None:
    keras = load_keras()
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Embedding(50, 64, mask_zero=True), keras.layers.LSTM(64)]
    head = keras.layers.Dense(1, activation="sigmoid")
    stock = keras.Sequential([keras.Input((6,)), *layers, head])
    expected = stock(np.array([BEFORE, BEHIND]))[:, 0].numpy().tolist()
    assert answers(settings(mask_padding=True), BEFORE, BEHIND) == expected


def test_layers_read_the_states_of_those_below() -> None:
    model = build_model(settings(layers=3, units=5, bidirectional=True), inputs(50, 9))
    shapes = [model.get_layer(name).output.shape for name in STACK]
    assert shapes == [(None, 9, 10), (None, 9, 10), (None, 10)]
    assert len(recurrent_layers(model)) == 6


STACK = ("bidirectional", "bidirectional_2", "bidirectional_3")


def test_each_segment_is_read_from_a_new_state_and_all_are_pooled() -> None:
    train = settings(segment_length=4, pooling="max+mean", units=4)
    model = build_model(train, inputs(50, 12))
    review = np.arange(5, 17)[None]
    vectors = model.get_layer("embedding")(review)
    states = [model.get_layer("lstm")(vectors[:, n : n + 4])[0].numpy() for n in (0, 4, 8)]
    together = np.concatenate(states)
    pooled = np.concatenate([together.max(0), together.mean(0)])
    expected = model.get_layer("probability")(pooled[None])
    np.testing.assert_allclose(model.predict(review, verbose=0), expected, atol=1e-6)


def test_padding_is_masked_in_segments_too() -> None:
    train = settings(segment_length=2, pooling="max+mean", mask_padding=True)
    assert answers(train, BEFORE) == pytest.approx(answers(train, SHORT), abs=1e-6)


def test_dropped_words_become_unknown_and_padding_stays() -> None:
    import keras

    rates = {"word": 0.3, "embedding": 0.0, "input": 0.0, "recurrent": 0.0, "head": 0.0}
    model = build_model(settings(dropout=rates), inputs(50, 100))
    words = keras.Model(model.input, model.get_layer("embedding").input)
    given = np.tile([*[0] * 20, *[7] * 80], (100, 1))
    np.testing.assert_array_equal(words(given, training=False), given)
    seen = np.array(words(given, training=True))
    assert set(np.unique(seen)) == {0, 2, 7}
    np.testing.assert_array_equal(seen == 0, given == 0)
    assert np.mean(seen[given == 7] == 2) == pytest.approx(0.3, abs=0.03)
    assert (words(given, training=True) != seen).numpy().any()


BIGRAMS = {"units": 3, "buckets": 1000}


def bigram_vectors(*reviews: list[int], **changes: Any) -> np.ndarray:
    """What is read beside each word's vector, shape (reviews, length, 3)."""
    import keras

    load_keras().utils.set_random_seed(0)
    model = build_model(settings(bigrams=BIGRAMS, **changes), inputs(50, len(reviews[0])))
    read = keras.Model(model.input, model.get_layer("bigrams").output)
    return np.array(read(np.array(reviews), training=True))


def test_the_same_two_words_are_the_same_bigram_wherever_they_stand() -> None:
    first, second, turned = bigram_vectors([0, 8, 9, 5, 6], [5, 8, 9, 6, 6], [0, 9, 8, 5, 6])
    np.testing.assert_array_equal(first[2], second[2])
    assert not np.array_equal(first[2], turned[2])
    assert not np.array_equal(first[3], second[3])


def test_no_bigram_is_made_with_padding_or_an_unknown_word() -> None:
    (padded, unknown) = bigram_vectors([0, 0, 8, 9, 0], [9, 2, 8, 2, 2])
    nothing = padded[0]
    for vector in (padded[1], padded[2], padded[4], *unknown):
        np.testing.assert_array_equal(vector, nothing)
    assert not np.array_equal(padded[3], nothing)


def test_a_dropped_word_takes_its_bigrams_with_it() -> None:
    rates = {"word": 0.5, "embedding": 0.0, "input": 0.0, "recurrent": 0.0, "head": 0.0}
    found, nothing = bigram_vectors([8, 9] * 50, [0] * 100, dropout=rates)
    kept = (found != nothing).any(axis=1)
    assert 0.1 < kept.mean() < 0.4  # a quarter: both words have to be there


def test_bigrams_share_the_buckets_evenly() -> None:
    from sentiment.network import model

    words = np.random.default_rng(0).integers(3, 30_000, (100, 1001))
    buckets = np.array(model._buckets(words, 1000, inputs(30_000, 1001)))[:, 1:]
    assert buckets.min() >= 1
    assert buckets.max() <= 1000
    assert np.bincount(buckets.ravel(), minlength=1001)[1:].min() > 50  # 100 on average


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {
                "pad": {"num_words": 60},
                "train": {"embedding_initializer": "cooccurrence", "embedding_units": 60},
            },
            r"embedding_units 60 below pad\.num_words 60: there are no more dimensions than words",
        ),
        (
            {"train": {"segment_length": 20}},
            "segment_length 20 needs another pooling than last: the last state has read only",
        ),
        (
            {"train": {"segment_length": 30, "pooling": "max"}},
            r"max_length 200 must be a multiple of train\.segment_length 30",
        ),
        (
            {"train": {"mask_padding": True}, "pad": {"padding_token": 3}},
            r"train\.mask_padding needs pad\.padding_token 0, which Keras masks, not 3",
        ),
        (
            {"train": {"schedule": {"warmup_epochs": 5.0}}},
            r"schedule\.warmup_epochs 5 must be below epochs 5",
        ),
        ({"train": {"optimizer": "adamw"}}, "adamw needs a weight_decay above 0"),
        (
            {"train": {"keep_best": True, "early_stopping": {"patience": 2}}},
            "a training that stops early keeps its best epoch already",
        ),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        check_params(merged(defaults(), changes), "params.yaml")


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("last", []),
        ("max", ["GlobalMaxPooling1D"]),
        ("mean", ["GlobalAveragePooling1D"]),
        ("max+mean", ["GlobalMaxPooling1D", "GlobalAveragePooling1D", "Concatenate"]),
    ],
)
def test_pooling_reduces_the_states(pooling: str, expected: list[str]) -> None:
    assert layers(settings(pooling=pooling))[3:-1] == expected


def test_dropouts_stand_where_they_are_named() -> None:
    rates = {"embedding": 0.1, "input": 0.2, "recurrent": 0.3, "head": 0.4}
    model = build_model(settings(dropout=rates), inputs(50, 9))
    cell = model.get_layer("lstm")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Embedding", "SpatialDropout1D", "LSTM", "Dropout", "Dense"]
    assert (model.layers[2].rate, model.layers[4].rate) == (0.1, 0.4)
    assert (cell.dropout, cell.recurrent_dropout) == (0.2, 0.3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "sgd"])
def test_optimizer_learning_rate_and_weight_decay_are_those_named(optimizer: str) -> None:
    train = settings(optimizer=optimizer, learning_rate=0.05, weight_decay=0.03)
    model = build_model(train, inputs(50, 9))
    assert type(model.optimizer).__name__.lower() == optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert model.optimizer.weight_decay == 0.03


def learning_rates(**schedule: Any) -> list[float]:
    """That of each step of four epochs of five steps."""
    train = settings(epochs=4, learning_rate=0.5, schedule=schedule)
    rate = build_model(train, inputs(50, 9)).optimizer._learning_rate
    return [float(rate(step)) for step in range(20)]


def test_a_cosine_falls_to_nothing_in_the_end() -> None:
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(20) / 20))
    np.testing.assert_allclose(
        learning_rates(kind="cosine", warmup_epochs=0.0), expected, atol=1e-6
    )


def test_a_warm_up_rises_evenly_and_then_the_schedule_begins() -> None:
    rising = 0.5 * np.arange(6) / 6
    constant = learning_rates(kind="constant", warmup_epochs=1.2)
    np.testing.assert_allclose(constant, [*rising, *[0.5] * 14], atol=1e-6)
    falling = 0.25 * (1 + np.cos(np.pi * np.arange(14) / 14))
    cosine = learning_rates(kind="cosine", warmup_epochs=1.2)
    np.testing.assert_allclose(cosine, [*rising, *falling], atol=1e-6)


def test_a_warm_up_of_nearly_all_epochs_leaves_a_step_for_the_rest() -> None:
    assert learning_rates(kind="cosine", warmup_epochs=3.99)[-1] == pytest.approx(0.5)


def test_every_step_takes_the_share_named_from_each_weight() -> None:
    train = settings(optimizer="sgd", learning_rate=0.5, weight_decay=0.1)
    model = build_model(train, inputs(50, 9))
    before = model.get_weights()
    model.optimizer.apply([0 * each for each in before], model.trainable_variables)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(mine, 0.95 * its, rtol=1e-5)


def test_smoothed_labels_are_nearer_to_one_half() -> None:
    smooth, plain = (
        build_model(settings(label_smoothing=share), inputs(50, 9)) for share in (0.2, 0.0)
    )
    hard, soft, given = (np.array([[a], [b]], "f") for a, b in ((1, 0), (0.9, 0.1), (0.7, 0.4)))
    expected = float(plain.loss(soft, given))
    assert float(smooth.loss(hard, given)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_forget_gate_starts_with_the_bias_named_and_the_others_with_none(
    bidirectional: bool,
) -> None:
    model = build_model(
        settings(units=3, forget_bias=2.5, bidirectional=bidirectional), inputs(50, 9)
    )
    layers = recurrent_layers(model)
    assert len(layers) == (2 if bidirectional else 1)
    for layer in layers:
        assert layer.cell.bias.numpy().tolist() == [0] * 3 + [2.5] * 3 + [0] * 6


def test_a_forget_bias_without_a_forget_gate_is_refused() -> None:
    with pytest.raises(UserError, match="forget_bias 3 needs cell lstm: a gru has no forget gate"):
        settings(cell="gru", forget_bias=3.0)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_recurrent_weights_start_as_named(cell: str) -> None:
    def recurrent(start: str) -> np.ndarray:
        train = settings(cell=cell, units=4, recurrent_initializer=start)
        weights: np.ndarray = build_model(train, inputs(50, 9)).get_layer(cell).get_weights()[1]
        return weights

    products = recurrent("orthogonal")
    np.testing.assert_allclose(products @ products.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(recurrent("identity"), np.eye(*products.shape))
    uniform = recurrent("glorot_uniform")
    assert np.abs(uniform).max() <= np.sqrt(6 / sum(uniform.shape))


def test_a_gradient_that_is_too_long_is_shortened() -> None:
    import keras

    def moved(clip_norm: float) -> np.ndarray:
        keras.utils.set_random_seed(1)
        train = settings(optimizer="sgd", learning_rate=1.0, clip_norm=clip_norm, units=3)
        model = build_model(train, inputs(50, 9))
        before = model.get_weights()
        gradients = [np.full(each.shape, 2.0, "f") for each in before]
        model.optimizer.apply(gradients, model.trainable_variables)
        steps = [each - start for each, start in zip(model.get_weights(), before, strict=True)]
        return np.concatenate([step.ravel() for step in steps])

    assert np.linalg.norm(moved(0.5)) == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_allclose(moved(0.0), -2.0, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "max+mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_every_combination_gives_a_probability_for_each_review(
    cell: str, bidirectional: bool, pooling: str
) -> None:
    train = settings(cell=cell, bidirectional=bidirectional, pooling=pooling, units=3)
    probabilities = build_model(train, inputs(50, 9)).predict(np.ones((4, 9)), verbose=0)
    assert probabilities.shape == (4, 1)
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_a_model_with_all_options_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    import keras

    changes = {"layers": 2, "bidirectional": True, "pooling": "max+mean", "segment_length": 4}
    changes |= {"mask_padding": True, "label_smoothing": 0.1, "average": 0.9, "weight_decay": 0.1}
    schedule = {"kind": "cosine", "warmup_epochs": 1.0}
    train = settings(**changes, schedule=schedule, dropout={"word": 0.3, "head": 0.3})
    model = build_model(train, inputs(50, 8))
    save_model(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    tokens = np.array([[0, 0, 5, 6, 7, 8, 9, 1]])
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    modules = {entry["module"] for entry in loaded.get_config()["layers"]}
    assert {module.split(".")[0] for module in modules} == {"keras"}


def test_the_same_model_is_saved_as_the_same_bytes(small_params: Params, tmp_path: Path) -> None:
    import keras

    keras.utils.clear_session()
    model = build_model(small_params.train, inputs(20, 6))
    save_model(model, tmp_path / "first.keras")
    time.sleep(2.1)  # an archive's time has steps of two seconds
    keras.utils.clear_session()  # or its layers get other names
    again = build_model(small_params.train, inputs(20, 6))
    again.set_weights(model.get_weights())
    save_model(again, tmp_path / "second.keras")
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "second.keras").read_bytes()
    loaded = keras.saving.load_model(tmp_path / "first.keras", safe_mode=True)
    for mine, its in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.keras", "second.keras"]


def test_a_model_with_bigrams_answers_the_same_once_it_is_loaded(tmp_path: Path) -> None:
    import keras

    options = {"segment_length": 4, "mask_padding": True, "bidirectional": True, "pooling": "max"}
    model = build_model(settings(bigrams=BIGRAMS, **options), inputs(50, 8))
    save_model(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    tokens = np.random.default_rng(0).integers(0, 50, (20, 8))
    answers = np.asarray(model(tokens))
    np.testing.assert_array_equal(np.asarray(loaded(tokens)), answers)
    assert np.ptp(answers) > 0
