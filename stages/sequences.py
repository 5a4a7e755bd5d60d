"""Reviews of unequal length as flat arrays of frequency ranks, and padding them to one length.

Nothing here but NumPy: this module travels with the served model, so that a text is encoded there
by the very code that encoded the training data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from stages.params import Pad


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
    """The smallest unsigned type that holds every token id below `num_words`."""
    return np.min_scalar_type(num_words - 1)


def encode(tokens: NDArray[np.uint32], params: "Pad") -> NDArray[Any]:
    """Turn ranks into token ids: ranks moved up by `index_from`, rare words made unknown."""
    ids = tokens + np.uint32(params.index_from)
    ids[ids >= params.num_words] = params.unknown_token
    return ids.astype(token_dtype(params.num_words))


def pad(reviews: Reviews, order: NDArray[np.int64], params: "Pad") -> NDArray[Any]:
    """Start mark, token ids and padding of each review in `order`.

    Returns:
        Shape (reviews, max_length), of `token_dtype`.
    """
    position, inside = positions(reviews.lengths[order] + 1, params)
    words = reviews.offsets[order][:, None] + position - 1
    ids = encode(reviews.tokens, params)
    inside_words = inside & (position > 0)
    padded = np.full(position.shape, params.padding_token, ids.dtype)
    padded[inside & (position == 0)] = params.start_token
    padded[inside_words] = ids[words[inside_words]]
    return padded


def positions(
    lengths: NDArray[np.int64], params: "Pad"
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each cell of the padded array, which position of its sequence stands there.

    Position 0 is the start mark. Cells outside the sequence are False in the second array.
    """
    kept = np.minimum(lengths, params.max_length)
    first = lengths - kept if params.truncating == "pre" else np.zeros_like(lengths)
    margin = params.max_length - kept if params.padding == "pre" else np.zeros_like(lengths)
    columns = np.arange(params.max_length) - margin[:, None]
    return columns + first[:, None], (columns >= 0) & (columns < kept[:, None])
