from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiment import padding, tokenizer
from sentiment.backend import load_keras
from sentiment.data import imdb
from sentiment.special_tokens import INDEX_FROM, START_TOKEN, UNKNOWN_TOKEN
from sentiment.tokenizer import Layout, Reviews
from workflow import downloads
from workflow.params import Params


@pytest.fixture
def row_layout(default_params: Params) -> Layout:
    return replace(padding.layout(default_params.pad), num_words=10, max_length=4)


@pytest.mark.parametrize(
    ("num_words", "dtype"), [(256, "uint8"), (257, "uint16"), (65_537, "uint32")]
)
def test_token_dtype_is_the_smallest_that_fits(num_words: int, dtype: str) -> None:
    assert tokenizer.token_dtype(num_words) == np.dtype(dtype)


def test_reviews_seen_in_training_are_marked() -> None:
    train = Reviews.from_lists([[1, 2], [3]], np.array([1, 0]))
    test = Reviews.from_lists([[3], [1], [1, 2]], np.array([1, 0, 1]))
    assert padding.seen_in_training(test, train).tolist() == [True, False, True]


def test_labels_and_marks_are_in_the_order_of_the_rows(default_params: Params) -> None:
    train = Reviews.from_lists([[rank] for rank in range(1, 21)], np.arange(20) % 2)
    test = Reviews.from_lists([[rank] for rank in range(11, 31)], np.arange(20) % 3 % 2)
    padded = padding.pad_splits(train, test, default_params.pad)
    train_reviews = padded["x_train"][:, -1].astype(int) - INDEX_FROM - 1
    test_reviews = padded["x_test"][:, -1].astype(int) - INDEX_FROM - 11
    assert test_reviews.tolist() != list(range(20))
    assert padded["test_order"].tolist() == test_reviews.tolist()
    assert padded["y_train"].tolist() == train.labels[train_reviews].tolist()
    assert padded["y_test"].tolist() == test.labels[test_reviews].tolist()
    assert padded["test_seen"].tolist() == (test_reviews < 10).tolist()


def keras_pads(reviews: Reviews, row_layout: Layout) -> NDArray[np.int32]:
    ids = [[int(rank) + INDEX_FROM for rank in review] for review in reviews]
    known = [
        [word if word < row_layout.num_words else UNKNOWN_TOKEN for word in words] for words in ids
    ]
    result: NDArray[np.int32] = load_keras().utils.pad_sequences(
        [[START_TOKEN, *words] for words in known],
        row_layout.max_length,
        padding=row_layout.padding,
        truncating=row_layout.truncating,
    )
    return result


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("max_length", [1, 7, 30])
def test_rows_equal_keras_pad_sequences(
    rng: np.random.Generator, row_layout: Layout, padding: Any, truncating: Any, max_length: int
) -> None:
    lists = [rng.integers(1, 20, rng.integers(0, 25)).tolist() for _ in range(60)]
    reviews = Reviews.from_lists(lists, np.zeros(60, int))
    chosen = replace(row_layout, padding=padding, truncating=truncating, max_length=max_length)
    rows = tokenizer.pad(reviews, np.arange(60), chosen)
    assert np.array_equal(rows, keras_pads(reviews, chosen))


@pytest.mark.slow
def test_padded_imdb_equals_keras(imdb_cache: Path, default_params: Params) -> None:
    assert imdb_cache.is_dir()
    keras = load_keras()
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    train, test, _ = imdb.parse(*downloads.fetch_imdb())
    ours = padding.pad_splits(train, test, default_params.pad)
    assert ours["x_train"].dtype == np.uint16
    assert np.array_equal(ours["x_train"], keras.utils.pad_sequences(x_train, maxlen=200))
    assert np.array_equal(ours["x_test"], keras.utils.pad_sequences(x_test, maxlen=200))
    assert np.array_equal(ours["y_train"], y_train)
    assert np.array_equal(ours["y_test"], y_test)
    assert int(ours["test_seen"].sum()) == 123
