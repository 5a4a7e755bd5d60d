"""The padded arrays are those of Keras."""

from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.data import imdb, padded
from sentiment.data.encoded import seen_in_training
from sentiment.text.padding import INDEX_FROM, START_TOKEN, UNKNOWN_TOKEN, Layout
from sentiment.text.reviews import Reviews

LAYOUT = Layout(num_words=10_000, max_length=200, padding="pre", truncating="pre")


def test_all_arrays_are_in_the_order_of_the_rows() -> None:
    train = Reviews.from_lists([[rank] for rank in range(1, 21)], np.arange(20) % 2)
    test = Reviews.from_lists([[rank] for rank in range(11, 31)], np.arange(20) % 3 % 2)
    arrays = padded.pad_dataset(train, test, LAYOUT)
    train_reviews = arrays["x_train"][:, -1].astype(int) - INDEX_FROM - 1
    test_reviews = arrays["x_test"][:, -1].astype(int) - INDEX_FROM - 11
    assert test_reviews.tolist() != list(range(20))
    assert arrays["test_order"].tolist() == test_reviews.tolist()
    assert arrays["y_train"].tolist() == train.labels[train_reviews].tolist()
    assert arrays["y_test"].tolist() == test.labels[test_reviews].tolist()


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
    monkeypatch.setattr(padded, "CHUNK_TOKENS", 100)
    lists = [rng.integers(1, 20, rng.integers(0, 25)).tolist() for _ in range(60)]
    layout = Layout(num_words=10, max_length=max_length, padding=side, truncating=truncating)
    order = rng.permutation(60)
    rows = padded.pad_in_chunks(Reviews.from_lists(lists, np.zeros(60, int)), order, layout)
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
def test_arrays_of_imdb_are_those_of_keras() -> None:
    if not (imdb.cache_folder() / imdb.ARCHIVE).is_file():
        pytest.skip("IMDB is not in Keras' cache; the pipeline downloads it")
    train, test, _ = imdb.read_files(imdb.fetch_files())
    arrays = padded.pad_dataset(train, test, LAYOUT)
    keras = load_keras()
    splits = keras.datasets.imdb.load_data(num_words=LAYOUT.num_words)
    for split, (reviews, labels) in zip(("train", "test"), splits, strict=True):
        x = arrays[f"x_{split}"]
        assert x.dtype == np.uint16
        assert np.array_equal(x, keras.utils.pad_sequences(reviews, LAYOUT.max_length))
        assert np.array_equal(arrays[f"y_{split}"], labels)
    assert seen_in_training(test, train, np.zeros(len(test), int)).sum() == 123


@pytest.mark.parametrize(("max_length", "length"), [(200, 8), (8, 8), (5, 5)])
def test_rows_are_as_long_as_the_longest_text_with_its_start_token(
    max_length: int, length: int
) -> None:
    assert padded.fitted_length(max_length, np.array([3, 7, 1])) == length
