"""A dataset as word ranks, which every source of texts becomes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.text.reviews import Reviews


class EncodedDataset(NamedTuple):
    """A dataset as word ranks.

    Attributes:
        word_index: the frequency rank of each word. Words that do not occur in the training set
            come last, or are left out.
        unranked_words: number of each test review's words that have no rank, shape (reviews,), as
            far as it is known: IMDB's files lack such words.
        test_text_digests: a digest of each test text, shape (reviews,), by which predictions of
            two models are matched. IMDB and the synthetic reviews have no texts, so it is of their
            word ranks.
        label_names: the names of the labels, in the order of their indices.
        test_set_digest: digest of the test set. Of a table, it is of the texts and their labels
            with the names of all labels in their order, so another tokenizer changes it only if it
            finds a word in other texts. IMDB and the synthetic reviews have no texts, so it is of
            their word ranks and labels.
        skipped_rows: number of rows without a word, and of those that `add_texts` skips.
    """

    train: Reviews
    test: Reviews
    word_index: dict[str, int]
    unranked_words: NDArray[np.int64]
    test_text_digests: NDArray[np.uint64]
    label_names: list[str]
    test_set_digest: str
    skipped_rows: int = 0
