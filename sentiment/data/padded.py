"""Both sets of a dataset as padded arrays, in the order and layout of Keras' IMDB.

The result equals `keras.datasets.imdb.load_data(num_words=...)` followed by
`keras.utils.pad_sequences(maxlen=...)`, computed without Keras.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.text.padding import Layout, pad
from sentiment.text.reviews import Reviews

SHUFFLE_SEED = 113  # as in `keras.datasets.imdb`; the file has all positive reviews first
CHUNK_TOKENS = 2_000_000  # tokens whose positions are in memory at once


def pad_dataset(train: Reviews, test: Reviews, layout: Layout) -> dict[str, NDArray[Any]]:
    """Shuffle and pad the training set and the test set.

    Returns:
        `x_train`, `x_test`: token ids, shape (reviews, max_length), of `token_dtype`.
        `y_train`, `y_test`: indices of the labels, shape (reviews,), uint8.
        `test_order`: the position in `test` of each row of `x_test`, shape (reviews,), int64.
    """
    train_order, test_order = shuffle_orders(len(train), len(test))
    return {
        "x_train": pad_in_chunks(train, train_order, layout),
        "y_train": train.labels[train_order],
        "x_test": pad_in_chunks(test, test_order, layout),
        "y_test": test.labels[test_order],
        "test_order": test_order,
    }


def fitted_length(max_length: int, lengths: NDArray[np.int64]) -> int:
    """Return the number of tokens in a row, which is no more than the longest text needs.

    Args:
        max_length: the most tokens of a row.
        lengths: number of words of each training text, shape (texts,).
    """
    return min(max_length, int(lengths.max()) + 1)  # with the start token


def pad_in_chunks(reviews: Reviews, order: NDArray[np.int64], layout: Layout) -> NDArray[Any]:
    """Return the reviews in this order as padded rows, shape (reviews, max_length)."""
    count = max(1, CHUNK_TOKENS // layout.max_length)
    starts = range(0, len(order), count)
    return np.concatenate([pad(reviews, order[start : start + count], layout) for start in starts])


def shuffle_orders(train: int, test: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the orders of both sets one after the other, as `keras.datasets.imdb` draws them.

    Args:
        train: number of training reviews.
        test: number of test reviews.

    Returns:
        Shapes (train,) and (test,).
    """
    rng = np.random.RandomState(SHUFFLE_SEED)
    train_order = np.arange(train)
    test_order = np.arange(test)
    rng.shuffle(train_order)
    rng.shuffle(test_order)
    return train_order, test_order
