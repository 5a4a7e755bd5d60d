"""Turn both sets of a dataset into padded arrays, in the order and layout of Keras' IMDB.

The result equals `keras.datasets.imdb.load_data(num_words=...)` followed by
`keras.utils.pad_sequences(maxlen=...)`, computed without Keras.
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sentiment.section import SEED_LIMIT, Section
from sentiment.tokenizer import Layout, Reviews, pad, review_hashes

CHUNK_TOKENS = 2_000_000  # tokens whose positions are in memory at once


class PadParams(Section):
    num_words: int = Field(ge=5, le=1_000_000)
    max_length: int = Field(ge=1, le=10_000)
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    padding_token: int = Field(ge=0)
    start_token: int = Field(ge=0)
    unknown_token: int = Field(ge=0)
    index_from: int = Field(ge=0)
    shuffle_seed: int = Field(ge=0, lt=SEED_LIMIT)

    @model_validator(mode="after")
    def _check_special_tokens(self) -> Self:
        tokens = [self.padding_token, self.start_token, self.unknown_token]
        if len(set(tokens)) < len(tokens):
            raise ValueError(f"padding_token, start_token and unknown_token {tokens} must differ")
        if max(tokens) > self.index_from:
            raise ValueError(
                f"index_from {self.index_from} must be at least {max(tokens)}, the largest special "
                "token, or words would share it"
            )
        min_words = self.index_from + 2
        if self.num_words < min_words:
            raise ValueError(
                f"num_words {self.num_words} must be at least index_from + 2, {min_words}"
            )
        return self


def pad_splits(train: Reviews, test: Reviews, params: PadParams) -> dict[str, NDArray[Any]]:
    """Shuffle and pad the training set and the test set.

    Returns:
        `x_train`, `x_test`: token ids, shape (reviews, max_length), of `tokenizer.token_dtype`.
        `y_train`, `y_test`: labels, 1 = positive, shape (reviews,), uint8.
        `test_order`: the position in `test` of each row of `x_test`, shape (reviews,), int64.
        `test_seen`: whether each row's review also occurs in training, shape (reviews,), bool.
    """
    train_order, test_order = shuffle_orders(len(train), len(test), params.shuffle_seed)
    row_layout = layout(params)
    return {
        "x_train": pad_in_chunks(train, train_order, row_layout),
        "y_train": train.labels[train_order],
        "x_test": pad_in_chunks(test, test_order, row_layout),
        "y_test": test.labels[test_order],
        "test_order": test_order,
        "test_seen": seen_in_training(test, train)[test_order],
    }


def pad_in_chunks(reviews: Reviews, order: NDArray[np.int64], row_layout: Layout) -> NDArray[Any]:
    """Return the reviews in this order as padded rows, shape (reviews, max_length)."""
    count = max(1, CHUNK_TOKENS // row_layout.max_length)
    starts = range(0, len(order), count)
    return np.concatenate(
        [pad(reviews, order[start : start + count], row_layout) for start in starts]
    )


def layout(params: PadParams) -> Layout:
    """Return the params that a served model also needs: all but the seed of the order."""
    return Layout(**params.model_dump(exclude={"shuffle_seed"}))


def shuffle_orders(train: int, test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the orders of both sets one after the other, as `keras.datasets.imdb` draws them.

    Args:
        train: number of training reviews.
        test: number of test reviews.
        seed: of NumPy's legacy generator.

    Returns:
        Shapes (train,) and (test,).
    """
    rng = np.random.RandomState(seed)
    train_order = np.arange(train)
    test_order = np.arange(test)
    rng.shuffle(train_order)
    rng.shuffle(test_order)
    return train_order, test_order


def seen_in_training(test: Reviews, train: Reviews) -> NDArray[np.bool_]:
    """Return whether each test review equals a training review word for word, shape (test,)."""
    return np.isin(review_hashes(test), review_hashes(train))
