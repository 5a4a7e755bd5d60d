"""A dataset as word ranks, which every source of texts becomes."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.text.reviews import Reviews, review_hashes

if TYPE_CHECKING:
    import pandas as pd


class EncodedDataset(NamedTuple):
    """A dataset as word ranks.

    Attributes:
        word_index: the frequency rank of each word. Words that do not occur in the training set
            come last, or are left out.
        test_rows: a row for each test review, in their order, with these columns. `row`: its number
            in its file, from 1; of IMDB and the synthetic reviews, which have no rows, the position
            in `test`. `text_id`: a digest of its text, or of its ranks if there is no text, by
            which predictions of two models are matched. `unranked_words`: the number of its words
            that have no rank, as far as it is known: IMDB's files lack such words.
            `seen_in_training`: see the function. Of a table, also `text` and, if the params name
            its column, `id`.
        label_names: the names of the labels, in the order of their indices.
        test_set_digest: digest of the test set. Of a table, it is of the texts and their labels
            with the names of all labels in their order, so another tokenizer changes it only if it
            finds a word in other texts. IMDB and the synthetic reviews have no texts, so it is of
            their word ranks and labels.
        skipped_rows: number of rows without a word.
    """

    train: Reviews
    test: Reviews
    test_rows: "pd.DataFrame"
    word_index: dict[str, int]
    label_names: list[str]
    test_set_digest: str
    skipped_rows: int = 0


def seen_in_training(
    test: Reviews, train: Reviews, unranked_words: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each test review equals a training review word for word, shape (test,).

    Args:
        unranked_words: the number of each test review's words that have no rank, shape (test,). A
            review with such a word equals none.
    """
    has_equal_ranks = np.isin(review_hashes(test), review_hashes(train))
    return np.asarray(has_equal_ranks & (unranked_words == 0))
