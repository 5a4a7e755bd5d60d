"""A linear model of words and bigrams, pairs of words that follow each other, as plain arrays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import Word

FILE = "model.npz"
BIGRAM_BITS = 32  # by which the first word is moved, so that no bigram equals a word


def bigrams(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The keys of the bigrams in a sequence of ranks, shape (words - 1,); a word's is its rank."""
    return (ranks[:-1] << BIGRAM_BITS) + ranks[1:]


@dataclass(frozen=True)
class LinearClassifier:
    """A `TextClassifier`: log-odds of positive are `bias` and the sum of values times weights.

    A feature's value is its scale, times its number of occurrences if they are `counted`; all
    values are divided by their Euclidean norm if they are `normalized`.

    Attributes:
        keys: of the features, rising, int64, shape (features,), see `bigrams`.
        scale: shape (features,), float32.
        weights: shape (features,), float32.
        bias: shape (), float32.
        counted: shape ().
        normalized: shape ().
    """

    keys: NDArray[np.int64]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    counted: NDArray[np.bool_]
    normalized: NDArray[np.bool_]

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self.probabilities([np.array(ranks, np.int64) for ranks in texts])

    def probabilities(self, reviews: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The probabilities for reviews, each the ranks of its words, shape (words,)."""
        ends = [self._sums(self._features(ranks))[:, -1:] for ranks in reviews]
        return self._answer(np.hstack([np.zeros((2, 0)), *ends]))

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        return np.arange(len(words))

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Take each word away, and the bigrams with it."""
        ranks, none = ranks_of(words), np.full(1, -1)
        features, pairs = self._features(ranks), self.find(bigrams(ranks))
        before, after = np.append(none, pairs)[: len(ranks)], np.append(pairs, none)[: len(ranks)]
        removed, ordered = np.array([self.find(ranks), before, after]), np.sort(features)
        first, last = (np.searchsorted(ordered, removed, side) for side in ("left", "right"))
        counts = last - first
        counts[2] -= before == after  # one of the two was removed already
        sums = whole = self._sums(features)[:, -1:]
        for feature, count in zip(removed, counts, strict=True):
            sums = sums + self._changes(feature, count, -1)
        return self._answer(np.hstack([whole, sums]))

    def predict_prefixes(
        self, words: Sequence[Word], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        sums = self._sums(self._features(ranks_of(words)))
        return self._answer(sums[:, 1::2][:, places])

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which feature each key is, -1 for one that is none; of the same shape."""
        places = np.searchsorted(self.keys, keys)
        places[places == len(self.keys)] = 0
        return np.where(self.keys[places] == keys, places, -1)

    def _features(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The features in the order of reading: each word, and then the bigram that it completes.

        Shape (2 * words - 1,), or (0,) without words; -1 for what is none.
        """
        pairs = self.find(bigrams(ranks))
        return np.insert(self.find(ranks), np.arange(2, len(ranks) + 1), pairs)

    def _sums(self, features: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums of `_changes` before the first feature and after each, (2, features + 1)."""
        order = np.argsort(features, kind="stable")
        ordered = features[order]
        counts = np.empty_like(order)  # of the same feature before each
        counts[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        changes = self._changes(features, counts, 1)
        return np.cumsum(np.hstack([np.zeros((2, 1)), changes]), axis=1)

    def _changes(
        self, features: NDArray[np.int64], counts: NDArray[np.int64], by: int
    ) -> NDArray[np.float64]:
        """What changes as each feature that occurs `counts` times occurs `by` times more.

        Returns:
            Value times weight, and the squared value, shape (2, features).
        """
        scale = np.where(features < 0, 0, self.scale[features]).astype(np.float64)
        old, new = (scale * (n if self.counted else n > 0) for n in (counts, counts + by))
        return np.array([(new - old) * self.weights[features], new * new - old * old])

    def _answer(self, sums: NDArray[np.float64]) -> NDArray[np.float32]:
        """The probabilities by sums of `_changes`, which are of shape (2, probabilities)."""
        value, square = sums
        norm = np.sqrt(np.where(self.normalized & (square > 0), square, 1))
        log_odds = value / norm + float(self.bias)
        # by the exponential it would overflow
        return np.array([0.5 + 0.5 * math.tanh(0.5 * odds) for odds in log_odds], np.float32)


def ranks_of(words: Sequence[Word]) -> NDArray[np.int64]:
    return np.fromiter((word.rank for word in words), np.int64, len(words))


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> LinearClassifier:
    """Read a model's arrays, which `numpy.savez` wrote, see `sentiment.serving.pyfunc_model`."""
    with np.load(paths[model["file"]], allow_pickle=False) as arrays:
        return LinearClassifier(**arrays)
