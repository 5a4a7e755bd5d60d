"""Reviews and their labels as arrays of word ranks and indices."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reviews:
    """Reviews and their labels. `reviews[i]` has the word ranks of review i, shape (its words,).

    Attributes:
        ranks: the frequency ranks of all words, 1 = most frequent, shape (words,).
        offsets: review i is `ranks[offsets[i]:offsets[i + 1]]`, shape (reviews + 1,).
        labels: indices of the labels, shape (reviews,).
    """

    ranks: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.uint8]

    @classmethod
    def from_lists(cls, reviews: Sequence[Sequence[int]], labels: NDArray[np.integer]) -> Self:
        """Join lists of ranks into flat arrays."""
        lengths = np.fromiter(map(len, reviews), np.int64, len(reviews))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        ranks = np.fromiter(chain.from_iterable(reviews), np.uint32, int(offsets[-1]))
        return cls(ranks, offsets, labels.astype(np.uint8))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, review: int) -> NDArray[np.uint32]:
        return self.ranks[self.offsets[review] : self.offsets[review + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        return (self[review] for review in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each review, shape (reviews,)."""
        return np.diff(self.offsets)

    def count_rarer(self, rank: int) -> NDArray[np.int64]:
        """Return the number of each review's words with a greater rank, shape (reviews,)."""
        rarer = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.ranks > rank)])
        return np.diff(rarer[self.offsets])


def review_hashes(reviews: Reviews) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each review's words, shape (reviews,).

    Among a million different reviews, two have the same hash with a probability of 3 in 10^8.
    """
    ranks = memoryview(reviews.ranks.data)
    bounds = pairwise(reviews.offsets.tolist())
    digests = (hashlib.blake2b(ranks[low:high], digest_size=8).digest() for low, high in bounds)
    return np.frombuffer(b"".join(digests), np.uint64)
