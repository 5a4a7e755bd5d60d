"""Reviews of unequal length as flat arrays of frequency ranks, and padding them to one length.

Nothing here but NumPy: this module travels with the served model, so that a text is encoded there
by the very code that encoded the training data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Layout:
    """How a review becomes a row of token ids: the `pad` section but for the order of the rows."""

    num_words: int
    max_length: int
    padding: Literal["pre", "post"]
    truncating: Literal["pre", "post"]
    padding_token: int
    start_token: int
    unknown_token: int
    index_from: int


@dataclass(frozen=True)
class Reviews:
    """Reviews and their labels; `reviews[i]` is the i-th as ranks, shape (words of it,).

    Attributes:
        tokens: shape (words,), uint32: the frequency ranks of all words, 1 = most frequent,
            review after review.
        offsets: shape (reviews + 1,), int64: review i is `tokens[offsets[i]:offsets[i + 1]]`.
        labels: shape (reviews,), uint8: 1 = positive, 0 = negative.
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.uint8]

    @classmethod
    def from_lists(cls, reviews: list[list[int]], labels: NDArray[np.integer]) -> Self:
        """Join lists of ranks into flat arrays."""
        lengths = np.fromiter(map(len, reviews), np.int64, len(reviews))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        tokens = np.fromiter(chain.from_iterable(reviews), np.uint32, int(offsets[-1]))
        return cls(tokens, offsets, labels.astype(np.uint8))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, review: int) -> NDArray[np.uint32]:
        return self.tokens[self.offsets[review] : self.offsets[review + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        return (self[review] for review in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each review, shape (reviews,)."""
        return np.diff(self.offsets)


def token_dtype(num_words: int) -> DTypeLike:
    """The smallest unsigned type for every token id below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def encode(tokens: NDArray[np.uint32], layout: Layout) -> NDArray[Any]:
    """Turn ranks into token ids: ranks moved up by `index_from`, rare words made unknown."""
    ids = tokens + np.uint32(layout.index_from)
    ids[ids >= layout.num_words] = layout.unknown_token
    return ids.astype(token_dtype(layout.num_words))


def pad(reviews: Reviews, order: NDArray[np.int64], layout: Layout) -> NDArray[Any]:
    """Start mark, token ids and padding of each review in `order`.

    Returns:
        Shape (reviews, max_length), of `token_dtype`.
    """
    position, inside = positions(reviews.lengths[order] + 1, layout)
    words = reviews.offsets[order][:, None] + position - 1
    inside_words = inside & (position > 0)
    padded = np.full(position.shape, layout.padding_token, token_dtype(layout.num_words))
    padded[inside & (position == 0)] = layout.start_token
    padded[inside_words] = encode(reviews.tokens[words[inside_words]], layout)
    return padded


def positions(
    lengths: NDArray[np.int64], layout: Layout
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each cell of the padded array, which position of its sequence is there.

    Position 0 is the start mark. Cells outside the sequence are False in the second array.
    """
    kept = np.minimum(lengths, layout.max_length)
    first = lengths - kept if layout.truncating == "pre" else np.zeros_like(lengths)
    margin = layout.max_length - kept if layout.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(layout.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])
