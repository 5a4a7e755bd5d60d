"""Reviews of unequal length in three flat arrays, the form that `fetch` writes."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stages import files


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


FIELDS = [field.name for field in fields(Reviews)]


def write_reviews(folder: Path, part: str, reviews: Reviews) -> None:
    """Write the `train` or `test` part into a folder, an array a file."""
    files.write_arrays(folder, {f"{part}_{name}": getattr(reviews, name) for name in FIELDS})


def read_reviews(folder: Path, part: str) -> Reviews:
    """Read what `write_reviews` wrote.

    Raises:
        UserError: a file is missing, or is not as it was written.
    """
    return Reviews(*files.read_arrays(folder, [f"{part}_{name}" for name in FIELDS]))
