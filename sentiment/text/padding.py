"""Reviews as rows of token ids, with padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .reviews import Reviews

# Token ids that are not words, as in `keras.datasets.imdb.load_data`.
PADDING_TOKEN = 0  # the token id that Keras' layers mask
START_TOKEN = 1  # before the first word of a review
UNKNOWN_TOKEN = 2  # replaces rare words
INDEX_FROM = 3  # a word's token id is its frequency rank plus this


@dataclass(frozen=True)
class Layout:
    """The layout of a review as a row of token ids.

    Attributes:
        num_words: number of token ids. Rarer words get the unknown token.
        max_length: number of tokens in a row.
        padding: the side of the padding.
        truncating: the side from which a longer review is cut.
    """

    num_words: int
    max_length: int
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]

    @property
    def max_rank(self) -> int:
        """The greatest rank of a word with a token id of its own."""
        return self.num_words - INDEX_FROM - 1


def token_dtype(num_words: int) -> DTypeLike:
    """Return the smallest unsigned type that holds all token ids below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def pad(reviews: Reviews, order: NDArray[np.int64], layout: Layout) -> NDArray[Any]:
    """Return a row for each review in `order`: start token, token ids and padding.

    A token id is the word's rank plus `INDEX_FROM`. Rare words get the unknown token.

    Args:
        order: positions of the reviews, shape (rows,).
        layout: how a review becomes a row.

    Returns:
        Shape (rows, max_length), of `token_dtype`.
    """
    position, inside = sequence_positions(reviews.lengths[order] + 1, layout)
    words = reviews.offsets[order][:, None] + position - 1
    is_word = inside & (position > 0)
    padded = np.full(position.shape, PADDING_TOKEN, token_dtype(layout.num_words))
    padded[inside & (position == 0)] = START_TOKEN
    ids = reviews.ranks[words[is_word]] + np.uint32(INDEX_FROM)
    ids[ids >= layout.num_words] = UNKNOWN_TOKEN
    padded[is_word] = ids
    return padded


def sequence_positions(
    lengths: NDArray[np.int64], layout: Layout
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which position of its sequence each cell of the padded rows holds.

    Args:
        lengths: number of tokens of each sequence, including the start token, shape (rows,).
        layout: how a sequence becomes a row.

    Returns:
        The positions, where 0 is the start token, and whether each cell is inside its sequence.
        Both have the shape (rows, max_length). Positions outside are meaningless.
    """
    kept = np.minimum(lengths, layout.max_length)
    first = lengths - kept if layout.truncating == "pre" else np.zeros_like(lengths)
    margin = layout.max_length - kept if layout.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(layout.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])


def pad_ranks(texts: Sequence[Sequence[int]], layout: Layout) -> NDArray[Any]:
    """Return padded rows of token ids for texts given as word ranks.

    An empty text has only the start token.

    Returns:
        Shape (texts, max_length).
    """
    no_labels = np.zeros(len(texts), np.uint8)
    return pad(Reviews.from_lists(texts, no_labels), np.arange(len(texts)), layout)
