"""The padded arrays are those of Keras."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment import padding
from sentiment.data import imdb
from sentiment.params import PadParams
from sentiment.prediction.backend import load_keras
from sentiment.prediction.tokenizer import INDEX_FROM, START_TOKEN, UNKNOWN_TOKEN, Reviews


def test_all_arrays_are_in_the_order_of_the_rows() -> None:
    train = Reviews.from_lists([[rank] for rank in range(1, 21)], np.arange(20) % 2)
    test = Reviews.from_lists([[rank] for rank in range(11, 31)], np.arange(20) % 3 % 2)
    padded = padding.pad_splits(train, test, PadParams())
    train_reviews = padded["x_train"][:, -1].astype(int) - INDEX_FROM - 1
    test_reviews = padded["x_test"][:, -1].astype(int) - INDEX_FROM - 11
    assert test_reviews.tolist() != list(range(20))
    assert padded["test_order"].tolist() == test_reviews.tolist()
    assert padded["y_train"].tolist() == train.labels[train_reviews].tolist()
    assert padded["y_test"].tolist() == test.labels[test_reviews].tolist()
    assert padded["test_seen"].tolist() == (test_reviews < 10).tolist()


def test_review_is_seen_if_it_is_in_training_word_for_word() -> None:
    train = Reviews.from_lists([[1, 2], [3]], np.array([1, 0]))
    test = Reviews.from_lists([[3], [1], [1, 2]], np.array([1, 0, 1]))
    assert padding.seen_in_training(test, train).tolist() == [True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("max_length", [1, 7, 30])
def test_rows_equal_keras_pad_sequences(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    side: Any,
    truncating: Any,
    max_length: int,
) -> None:
    monkeypatch.setattr(padding, "CHUNK_TOKENS", 100)
    lists = [rng.integers(1, 20, rng.integers(0, 25)).tolist() for _ in range(60)]
    params = PadParams(num_words=10, max_length=max_length, padding=side, truncating=truncating)
    order = rng.permutation(60)
    rows = padding.pad_in_chunks(
        Reviews.from_lists(lists, np.zeros(60, int)), order, padding.layout(params)
    )
    ids = [[rank + INDEX_FROM for rank in lists[review]] for review in order]
    known = [[token if token < 10 else UNKNOWN_TOKEN for token in review] for review in ids]
    expected = load_keras().utils.pad_sequences(
        [[START_TOKEN, *review] for review in known],
        max_length,
        padding=side,
        truncating=truncating,
    )
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.slow
def test_padded_imdb_equals_keras(imdb_cache: Path) -> None:
    keras = load_keras()
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    train, test, _ = imdb.read_files(imdb_cache)
    padded = padding.pad_splits(train, test, PadParams())
    assert padded["x_train"].dtype == np.uint16
    np.testing.assert_array_equal(padded["x_train"], keras.utils.pad_sequences(x_train, maxlen=200))
    np.testing.assert_array_equal(padded["x_test"], keras.utils.pad_sequences(x_test, maxlen=200))
    np.testing.assert_array_equal(padded["y_train"], y_train)
    np.testing.assert_array_equal(padded["y_test"], y_test)
    assert int(padded["test_seen"].sum()) == 123
