"""The linear architecture: n-grams, each present or not, times a log-ratio, times a weight."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model import linear
from sentiment.model.batches import Split
from sentiment.model.linear import HASH_PRIMES, NO_NGRAM, feature_hashes, ngram_hashes
from sentiment.model.training import Training
from sentiment.params import LinearParams
from sentiment.text.padding import PADDING_TOKEN, UNKNOWN_TOKEN
from tests.models import LINEAR, new_model, new_training
from tests.params import new_section

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.slow


def linear_section(**changes: Any) -> LinearParams:
    """Return the section of a linear model, with changes."""
    section = new_section("linear", **changes)
    assert isinstance(section, LinearParams)
    return section


def hash_of(*words: int) -> int:
    """Return the hash of an n-gram, from its words in their order."""
    return sum(prime * word for prime, word in zip(HASH_PRIMES, reversed(words), strict=False))


def feature_rows(model: "keras.Model", ngrams: Iterable[tuple[int, ...]]) -> np.ndarray:
    """Return the rows of these n-grams in the tables of a model."""
    hashes = np.array([hash_of(*ngram) for ngram in ngrams])
    index = model.get_layer(linear.INDEX).get_weights()[0]
    return np.asarray(index[hashes % len(index), 1], int)


def training_on(x: list[list[int]], y: list[int], label_count: int = 2, **changes: Any) -> Training:
    """Return a training on these reviews, before its first epoch."""
    load_keras()
    split = Split(np.array(x, np.uint16), np.array(y, np.uint8))
    return new_training(split, label_count, **{**LINEAR, **changes})


@pytest.mark.parametrize("size", [1, 2, 3])
def test_hash_of_an_ngram_is_a_sum_over_its_words(size: int) -> None:
    load_keras()
    tokens = [[1, 5, 6, 7], [PADDING_TOKEN, 5, UNKNOWN_TOKEN, 7]]
    hashes = np.asarray(ngram_hashes(np.array(tokens), size))
    for row, tokens_of_row in zip(hashes, tokens, strict=True):
        for end in range(1, 5):
            ngram = tokens_of_row[max(end - size, 0) : end]
            special = len(ngram) < size or {PADDING_TOKEN, UNKNOWN_TOKEN} & {*ngram}
            assert row[end - 1] == (NO_NGRAM if special else hash_of(*ngram))


def test_most_frequent_features_are_chosen() -> None:
    reviews = np.array([2, 7, 3, 1, 9, 3])
    hashes = np.arange(6)
    assert linear.choose_features(hashes, reviews, 3, 8).tolist() == [4, 1, 2]
    assert linear.choose_features(hashes, reviews, 7, 8).tolist() == [4, 1, 2, 5, 0, 3]


def test_most_frequent_feature_of_a_slot_is_chosen() -> None:
    hashes = np.array([3, 3 + 8, 4, 3 + 5 * 8])
    assert linear.choose_features(hashes, np.array([2, 7, 3, 5]), 4, slots=8).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("share", "ngrams"),
    [(0.2, [(5,), (6,), (7,), (8,), (9,), (6, 7)]), (0.4, [(6,), (7,), (6, 7)])],
)
def test_an_ngram_needs_several_reviews_and_a_word_a_share_of_them(
    share: float, ngrams: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "MIN_WORD_SHARE", share)
    load_keras()
    x = np.array([[0, 0, 5, 6, 7], [0, 0, 8, 6, 7], [0, 0, 0, 0, 9]], np.uint16)
    section = linear_section(ngrams=2, ending=0.0, min_reviews=2)
    found = linear.find_features(section, Split(x, np.array([0, 1, 1], np.uint8)), 2)
    assert {*found.hashes.tolist()} == {hash_of(*ngram) for ngram in ngrams}


@pytest.mark.parametrize(
    ("features", "slots"),
    [
        (1, linear.MIN_SLOTS),
        (linear.MIN_SLOTS, 2 * linear.MIN_SLOTS),
        (800_000, linear.MAX_SLOTS),
        (2**24, linear.MAX_SLOTS),
    ],
)
def test_an_index_has_slots_for_its_features(features: int, slots: int) -> None:
    assert linear.count_slots(features) == slots


def test_the_param_allows_no_more_features_than_an_index_has_slots() -> None:
    assert linear_section(max_features=linear.MAX_SLOTS).max_features == linear.MAX_SLOTS
    with pytest.raises(UserError, match=r"linear\.max_features"):
        linear_section(max_features=linear.MAX_SLOTS + 1)


def test_index_tells_all_hashes_of_a_million_words_apart() -> None:
    """Store the quotient of the greatest hash exactly as float32."""
    greatest = linear.ENDING_OFFSET + sum(HASH_PRIMES) * 1_000_000
    assert greatest // linear.MIN_SLOTS < 2**24


@pytest.mark.parametrize("label_count", [2, 3])
def test_a_model_has_a_weight_for_each_feature_that_exists(label_count: int) -> None:
    x = [[0, 0, 5, 6], [0, 0, 5, 6], [0, 0, 0, 7]]
    changes = {"ngrams": 2, "min_reviews": 2}
    model = training_on(x, [0, 1, label_count - 1], label_count, **changes).model
    outputs = 1 if label_count == 2 else label_count
    features = {(5,), (6,), (7,), (5, 6)}
    for name in (linear.LOG_RATIO, linear.WEIGHT):
        assert model.get_layer(name).get_weights()[0].shape == (len(features) + 1, outputs)


def test_log_ratios_are_those_of_naive_bayes() -> None:
    counts = np.array([[3, 0, 5], [1, 4, 5]])
    negative = np.array([4, 1, 6]) / 11
    positive = np.array([2, 5, 6]) / 13
    np.testing.assert_allclose(linear.log_ratios(counts, 1), np.log(positive / negative))


def test_log_ratios_of_more_labels_compare_each_with_the_rest() -> None:
    counts = np.array([[3, 0, 5], [1, 4, 5], [2, 2, 2]])
    rest = counts[0] + counts[2]
    np.testing.assert_array_equal(
        linear.log_ratios(counts, 1), linear.log_ratios(np.array([rest, counts[1]]), 1)
    )


@pytest.mark.parametrize("hashed_at_once", [2, 1000])
def test_known_ngrams_have_the_log_ratio_of_the_reviews_that_have_them(
    hashed_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count a review once, however often it has an n-gram."""
    monkeypatch.setattr(linear, "READ_BATCH_SIZE", hashed_at_once)
    x = [[0, 1, 5, 5, 6, 5], [0, 0, 0, 1, 6, 5], [0, 0, 0, 0, 1, 6]]
    training = training_on(x, [1, 0, 0], min_reviews=2, ngrams=2)
    table = training.model.get_layer(linear.LOG_RATIO).get_weights()[0][:, 0]
    ngrams = {(1,): (2, 1), (5,): (1, 1), (6,): (2, 1), (1, 6): (2, 0), (6, 5): (1, 1)}
    counts = np.array(list(ngrams.values())).T
    rows = feature_rows(training.model, ngrams)
    assert sorted(rows) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(table[rows], linear.log_ratios(counts, 1), rtol=1e-6)
    assert not table[0]
    assert len(table) == 6


@pytest.mark.parametrize("padding", ["pre", "post"])
def test_logit_adds_each_known_ngram_of_a_review_once(padding: str) -> None:
    training = training_on([[1, 5, 6, 7, 5, 6], [0, 0, 1, 9, 8, 7]], [1, 0])
    model = training.model
    rng = np.random.default_rng(0)
    log_ratio = model.get_layer(linear.LOG_RATIO).get_weights()[0][:, 0]
    weight = rng.normal(size=(len(log_ratio), 1)).astype(np.float32)
    model.get_layer(linear.WEIGHT).set_weights([weight])
    values = log_ratio * weight[:, 0]
    words = [1, 5, 6, 5, 6]
    known = {(1,), (5,), (6,), (1, 5), (5, 6), (1, 5, 6)}  # but not 6 5, which no review has
    expected = linear.INITIAL_SCALE * sum(values[feature_rows(model, known)])
    row = [0, *words] if padding == "pre" else [*words, 0]
    probability = float(model(np.array([row]))[0, 0])
    assert np.log(probability / (1 - probability)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_optimizer_damps_the_steps_of_rare_features(optimizer: str) -> None:
    assert new_model(**LINEAR, optimizer=optimizer).optimizer.epsilon == linear.EPSILON
    assert new_model(optimizer=optimizer).optimizer.epsilon == 1e-7


def test_optimizer_without_epsilon_is_possible() -> None:
    assert type(new_model(**LINEAR, optimizer="sgd").optimizer).__name__ == "SGD"


@pytest.mark.parametrize("row", [[0, 0, 5, 6, 5, 7], [5, 6, 5, 7, 0, 0]], ids=["pre", "post"])
def test_words_and_bigrams_of_the_ending_are_features_of_their_own(row: list[int]) -> None:
    """Expect the words 5 and 7, and the bigrams 6 5 and 5 7, as the ending of 5 6 5 7."""
    load_keras()
    found = np.asarray(feature_hashes(linear_section(ending=0.5), np.array([row]))).ravel()
    ngrams = [(5,), (6,), (7,), (5, 6), (6, 5), (5, 7), (5, 6, 5), (6, 5, 7)]
    ending = [hash_of(*ngram) + linear.ENDING_OFFSET for ngram in [(5,), (7,), (6, 5), (5, 7)]]
    expected = {*(hash_of(*ngram) for ngram in ngrams), *ending}
    assert {*found.tolist()} - {NO_NGRAM} == expected


def test_features_that_were_not_chosen_are_ignored() -> None:
    x = [[0, 0, 0, 0, 0, 5], [0, 0, 0, 0, 0, 6]]
    model = training_on(x, [1, 0], max_features=1).model
    for name in (linear.LOG_RATIO, linear.WEIGHT):
        model.get_layer(name).set_weights([np.array([[0], [1]])])
    probabilities = model(np.array([[0, 0, 0, 0, 0, word] for word in (5, 6, 7)]))
    assert np.count_nonzero(np.asarray(probabilities) != 0.5) == 1


def test_unknown_feature_in_the_slot_of_a_known_one_is_ignored() -> None:
    model = new_model(**LINEAR)
    index = np.zeros((linear.MIN_SLOTS, 2))
    index[hash_of(5)] = [1, 2]  # the slot belongs to the hash MIN_SLOTS + hash_of(5)
    model.get_layer(linear.INDEX).set_weights([index])
    for name in (linear.LOG_RATIO, linear.WEIGHT):
        model.get_layer(name).set_weights([np.ones((6, 1))])
    padding = [[0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(model(np.array([[0, 0, 5, 0, 0, 0]])), model(np.array(padding)))


def test_training_without_a_frequent_word_or_with_one_label_is_refused() -> None:
    with pytest.raises(UserError, match="The training reviews have no known word"):
        training_on([[0, 2], [2, 2]], [1, 0], min_reviews=2)
    with pytest.raises(UserError, match="the same label"):
        training_on([[0, 0, 0, 0, 5, 6]], [1])


@pytest.mark.parametrize("changes", [{"ngrams": 1}, {}], ids=str)
def test_review_without_words_has_the_probability_of_the_bias(changes: dict[str, Any]) -> None:
    x = [[0, 0, 0, 0, 5, 6], [0, 0, 0, 0, 6, 7]]
    model = training_on(x, [1, 0], ending=0.25, **changes).model
    layer = model.get_layer(linear.WEIGHT)
    layer.set_weights([np.ones_like(layer.get_weights()[0])])
    assert np.asarray(model(np.zeros((1, 6), int))) == pytest.approx(0.5)
    assert float(model(np.array(x))[0, 0]) > 0.5


def test_linear_model_of_three_labels_learns_which_words_matter() -> None:
    x = np.random.default_rng(0).integers(5, 20, (200, 6))
    y = np.where((x == 5).any(axis=1), 2, (x == 6).any(axis=1).astype(int))
    training = training_on(x.tolist(), y.tolist(), label_count=3, learning_rate=0.1, epochs=4)
    np.testing.assert_allclose(training.model(x), 1 / 3, rtol=1e-6)
    training.fit(lambda: None)
    assert training.metrics["accuracy"] > 0.95


def test_linear_model_starts_undecided_and_learns_which_words_matter() -> None:
    x = np.random.default_rng(0).integers(3, 20, (200, 6))
    y = (x == 5).any(axis=1)
    training = training_on(x.tolist(), y.tolist(), learning_rate=0.1, epochs=4)
    assert np.asarray(training.model(x)) == pytest.approx(0.5)
    training.fit(lambda: None)
    assert training.metrics["accuracy"] > 0.95
