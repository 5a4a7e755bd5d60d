"""Both parts of a data set as padded arrays, in the order and the form of Keras' own.

The result equals `keras.datasets.imdb.load_data(num_words=...)` followed by
`keras.utils.pad_sequences(maxlen=...)`, computed without Keras.
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sentiment.section import SEED_LIMIT, Section
from sentiment.tokenizer import Layout, Reviews, pad, review_hashes

CHUNK_TOKENS = 2_000_000  # tokens whose positions are in memory


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
        marks = [self.padding_token, self.start_token, self.unknown_token]
        if len(set(marks)) < 3:
            raise ValueError(f"padding_token, start_token and unknown_token {marks} must differ")
        if max(marks) > self.index_from:
            raise ValueError(
                f"index_from {self.index_from} must be at least {max(marks)}, the largest special "
                "token, or words would share it"
            )
        least = self.index_from + 2
        if self.num_words < least:
            raise ValueError(f"num_words {self.num_words} must be at least index_from + 2, {least}")
        return self


def pad_splits(train: Reviews, test: Reviews, params: PadParams) -> dict[str, NDArray[Any]]:
    """Pad and shuffle both parts.

    Returns:
        `x_train`, `x_test`: token ids, shape (reviews, max_length); `y_train`, `y_test`: labels,
        shape (reviews,); `test_order`: each test review's position in `test`; `test_seen`: whether
        it also occurs in training.
    """
    train_order, test_order = shuffle_orders(len(train), len(test), params.shuffle_seed)
    form = layout(params)
    return {
        "x_train": pad_in_chunks(train, train_order, form),
        "y_train": train.labels[train_order],
        "x_test": pad_in_chunks(test, test_order, form),
        "y_test": test.labels[test_order],
        "test_order": test_order,
        "test_seen": seen_in_training(test, train)[test_order],
    }


def pad_in_chunks(reviews: Reviews, order: NDArray[np.int64], form: Layout) -> NDArray[Any]:
    """The reviews in this order, padded, shape (reviews, max_length)."""
    count = max(1, CHUNK_TOKENS // form.max_length)
    starts = range(0, len(order), count)
    return np.concatenate([pad(reviews, order[start : start + count], form) for start in starts])


def layout(params: PadParams) -> Layout:
    """The params that a served model needs, too: all but the order of the reviews."""
    return Layout(**params.model_dump(exclude={"shuffle_seed"}))


def shuffle_orders(train: int, test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Orders for both parts, drawn one after the other as `keras.datasets.imdb` draws them."""
    rng = np.random.RandomState(seed)
    orders = np.arange(train), np.arange(test)
    for order in orders:
        rng.shuffle(order)
    return orders


def seen_in_training(test: Reviews, train: Reviews) -> NDArray[np.bool_]:
    """Whether each test review is, word for word, also a training review; shape (test,)."""
    return np.isin(review_hashes(test), review_hashes(train))
