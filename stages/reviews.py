"""Reviews of unequal length in three flat arrays, the form that `fetch` writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stages import files


class Reviews(NamedTuple):
    """Reviews and their labels.

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
        words = (rank for review in reviews for rank in review)
        tokens = np.fromiter(words, np.uint32, int(offsets[-1]))
        return cls(tokens, offsets, labels.astype(np.uint8))

    @property
    def count(self) -> int:
        """Number of reviews."""
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each review, shape (reviews,)."""
        return np.diff(self.offsets)

    def ranks(self, review: int) -> NDArray[np.uint32]:
        """The words of one review as ranks, shape (words of it,)."""
        return self.tokens[self.offsets[review] : self.offsets[review + 1]]

    def each(self) -> Iterator[NDArray[np.uint32]]:
        """The ranks of one review after the other."""
        return (self.ranks(review) for review in range(self.count))


def write_reviews(folder: Path, part: str, reviews: Reviews) -> None:
    """Write the `train` or `test` part into a folder, an array a file."""
    arrays = {f"{part}_{field}": array for field, array in reviews._asdict().items()}
    files.write_arrays(folder, arrays)


def read_reviews(folder: Path, part: str) -> Reviews:
    """Read what `write_reviews` wrote.

    Raises:
        UserError: a file is missing, or is not as it was written.
    """
    return Reviews(*files.read_arrays(folder, [f"{part}_{field}" for field in Reviews._fields]))
