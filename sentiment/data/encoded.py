"""A dataset as word ranks, which every source of texts becomes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.prediction.reviews import Reviews


class EncodedDataset(NamedTuple):
    """A dataset as word ranks.

    Attributes:
        train: the training set.
        test: the test set.
        word_index: the frequency rank of each word of the training set.
        words_dropped: number of each test review's words that have no rank, shape (reviews,).
        labels: the names of the labels, in the order of their indices.
        test_set: digest of the texts of the test set and their labels, with the names of all labels
            in their order. Another tokenizer does not change it.
        rows_skipped: number of rows without a word, and of those that `add_texts` skips.
    """

    train: Reviews
    test: Reviews
    word_index: dict[str, int]
    words_dropped: NDArray[np.int64]
    labels: list[str]
    test_set: str
    rows_skipped: int = 0
