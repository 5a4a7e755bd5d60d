from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stages import fetch, pad, sequences
from stages.backend import load_keras
from stages.params import Pad, Params
from stages.sequences import Reviews


@pytest.fixture
def options(default_params: Params) -> Pad:
    return default_params.pad.model_copy(update={"num_words": 10, "max_length": 4})


@pytest.fixture
def reviews() -> Reviews:
    return Reviews.from_lists([[1, 2], [6, 7, 3, 4, 5]], np.array([1, 0]))


def padded(reviews: Reviews, options: Pad) -> list[list[int]]:
    rows: list[list[int]] = sequences.pad(reviews, np.arange(len(reviews)), options).tolist()
    return rows


def test_short_review_is_filled_in_front_after_its_start_mark(
    reviews: Reviews, options: Pad
) -> None:
    assert padded(reviews, options)[0] == [0, 1, 4, 5]


def test_long_review_keeps_its_end(reviews: Reviews, options: Pad) -> None:
    assert padded(reviews, options)[1] == [2, 6, 7, 8]


def test_post_fills_and_cuts_behind(reviews: Reviews, options: Pad) -> None:
    post = options.model_copy(update={"padding": "post", "truncating": "post"})
    assert padded(reviews, post) == [[1, 4, 5, 0], [1, 9, 2, 6]]


def test_rare_words_become_unknown(reviews: Reviews, options: Pad) -> None:
    few = options.model_copy(update={"num_words": 6})
    assert padded(reviews, few) == [[0, 1, 4, 5], [2, 2, 2, 2]]


def test_empty_review_is_its_start_mark(options: Pad) -> None:
    empty = Reviews.from_lists([[]], np.array([1]))
    assert padded(empty, options) == [[0, 0, 0, 1]]


def test_review_of_one_column_is_its_last_token(reviews: Reviews, options: Pad) -> None:
    narrow = options.model_copy(update={"max_length": 1})
    assert padded(reviews, narrow) == [[5], [8]]


@pytest.mark.parametrize(
    ("num_words", "dtype"), [(10, "uint8"), (256, "uint8"), (257, "uint16"), (65_537, "uint32")]
)
def test_smallest_dtype_that_fits(num_words: int, dtype: str) -> None:
    assert sequences.token_dtype(num_words) == np.dtype(dtype)


def test_reviews_that_also_occur_in_training_are_marked() -> None:
    train = Reviews.from_lists([[1, 2], [3]], np.array([1, 0]))
    test = Reviews.from_lists([[3], [1], [1, 2]], np.array([1, 0, 1]))
    assert pad.seen(test, train).tolist() == [True, False, True]


def test_order_is_a_permutation_that_the_seed_decides() -> None:
    train, test = pad.shuffled(50, 30, seed=113)
    assert sorted(train) == list(range(50))
    assert sorted(test) == list(range(30))
    assert not np.array_equal(train, pad.shuffled(50, 30, seed=114)[0])


def keras_pads(reviews: Reviews, options: Pad) -> NDArray[np.int32]:
    keras = load_keras()
    ids = [
        [options.start_token]
        + [
            word if word < options.num_words else options.unknown_token
            for word in (int(rank) + options.index_from for rank in review)
        ]
        for review in reviews
    ]
    result: NDArray[np.int32] = keras.utils.pad_sequences(
        ids, options.max_length, padding=options.padding, truncating=options.truncating
    )
    return result


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("max_length", [1, 7, 30])
def test_equals_keras_pad_sequences(
    rng: np.random.Generator, options: Pad, padding: str, truncating: str, max_length: int
) -> None:
    lists = [rng.integers(1, 20, rng.integers(0, 25)).tolist() for _ in range(60)]
    reviews = Reviews.from_lists(lists, np.zeros(60, int))
    chosen = options.model_copy(
        update={"padding": padding, "truncating": truncating, "max_length": max_length}
    )
    ours = sequences.pad(reviews, np.arange(60), chosen)
    assert np.array_equal(ours, keras_pads(reviews, chosen))


def test_real_imdb_equals_keras_bit_for_bit(imdb_cache: Path, default_params: Params) -> None:
    assert imdb_cache.is_dir()
    keras = load_keras()
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    train, test, _ = fetch.imdb(default_params.fetch)
    train_order, test_order = pad.shuffled(len(train), len(test), default_params.pad.shuffle_seed)
    ours = sequences.pad(train, train_order, default_params.pad)
    ours_test = sequences.pad(test, test_order, default_params.pad)
    assert ours.dtype == np.uint16
    assert np.array_equal(ours, keras.utils.pad_sequences(x_train, maxlen=200))
    assert np.array_equal(ours_test, keras.utils.pad_sequences(x_test, maxlen=200))
    assert np.array_equal(train.labels[train_order], y_train)
    assert np.array_equal(test.labels[test_order], y_test)


def test_123_real_test_reviews_also_occur_in_training(
    imdb_cache: Path, default_params: Params
) -> None:
    assert imdb_cache.is_dir()
    train, test, _ = fetch.imdb(default_params.fetch)
    assert int(pad.seen(test, train).sum()) == 123
