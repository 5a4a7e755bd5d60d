"""Predict with a linear model of words and bigrams (pairs of consecutive words)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import Word

FILE = "model.npz"
BIGRAM_BITS = 32  # the first word's rank is shifted by them, so that no bigram equals a word


def bigrams(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the keys of the bigrams in a sequence of ranks, shape (words - 1,).

    The key of a word is its rank.
    """
    return (ranks[:-1] << BIGRAM_BITS) + ranks[1:]


@dataclass(frozen=True)
class LinearClassifier:
    """A `TextClassifier` whose log-odds are `bias` plus the sum of feature values times weights.

    The value of a feature that occurs is its scale, or its scale times the number of its
    occurrences if the model is `counted`. If the model is `normalized`, all values are divided by
    their Euclidean norm.

    Attributes:
        keys: of the features (see `bigrams`), ascending, shape (features,).
        scale: shape (features,).
        weights: shape (features,).
        bias: shape ().
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
        """Return the probability of each review, given as word ranks, each of shape (words,)."""
        totals = [self._sums(self._features(ranks))[:, -1:] for ranks in reviews]
        return self._probabilities(np.hstack([np.zeros((2, 0)), *totals]))

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        return np.arange(len(words))

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Remove each word, together with the bigrams that it is part of."""
        ranks = ranks_of(words)
        features = self._features(ranks)
        pairs = self.find(bigrams(ranks))
        none = np.full(1, -1)
        before = np.append(none, pairs)[: len(ranks)]  # the bigram that ends with each word
        after = np.append(pairs, none)[: len(ranks)]  # the bigram that starts with each word
        removed = np.array([self.find(ranks), before, after])
        ordered = np.sort(features)
        first = np.searchsorted(ordered, removed, "left")
        last = np.searchsorted(ordered, removed, "right")
        counts = last - first
        counts[2] -= before == after  # one of two equal bigrams is removed already
        whole = self._sums(features)[:, -1:]
        sums = whole
        for feature, count in zip(removed, counts, strict=True):
            sums = sums + self._changes(feature, count, -1)
        return self._probabilities(np.hstack([whole, sums]))

    def predict_prefixes(
        self, words: Sequence[Word], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        sums = self._sums(self._features(ranks_of(words)))
        return self._probabilities(sums[:, 1::2][:, positions])

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the feature of each key, or -1, of the same shape."""
        positions = np.searchsorted(self.keys, keys)
        positions[positions == len(self.keys)] = 0
        return np.where(self.keys[positions] == keys, positions, -1)

    def _features(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the features in reading order: each word, then the bigram that ends with it.

        Returns:
            Shape (2 * words - 1,), or (0,) without words. -1 for words and bigrams that are not
            features.
        """
        pairs = self.find(bigrams(ranks))
        return np.insert(self.find(ranks), np.arange(2, len(ranks) + 1), pairs)

    def _sums(self, features: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the sums of `_changes` before the first feature and after each one.

        Returns:
            Shape (2, features + 1).
        """
        order = np.argsort(features, kind="stable")
        ordered = features[order]
        counts = np.empty_like(order)  # earlier occurrences of each feature
        counts[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        changes = self._changes(features, counts, 1)
        return np.cumsum(np.hstack([np.zeros((2, 1)), changes]), axis=1)

    def _changes(
        self, features: NDArray[np.int64], counts: NDArray[np.int64], difference: int
    ) -> NDArray[np.float64]:
        """Return the changes if features occur `difference` times more than `counts` times.

        Returns:
            The changes of the value times the weight, and of the squared value; shape (2,
            features).
        """
        scale = np.where(features < 0, 0, self.scale[features]).astype(np.float64)
        new_counts = counts + difference
        old = scale * (counts if self.counted else counts > 0)
        new = scale * (new_counts if self.counted else new_counts > 0)
        return np.array([(new - old) * self.weights[features], new * new - old * old])

    def _probabilities(self, sums: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return probabilities from sums of `_changes`, shape (2, probabilities)."""
        value, square = sums
        norm = np.sqrt(np.where(self.normalized & (square > 0), square, 1))
        log_odds = value / norm + float(self.bias)
        # The exponential function would overflow.
        return np.array([0.5 + 0.5 * math.tanh(0.5 * odds) for odds in log_odds], np.float32)


def ranks_of(words: Sequence[Word]) -> NDArray[np.int64]:
    """Return the ranks of words, shape (words,)."""
    return np.fromiter((word.rank for word in words), np.int64, len(words))


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> LinearClassifier:
    """Load the arrays of a model, which `numpy.savez` wrote.

    Args:
        model: its config: `file`.
        paths: the files that travel with the model, by their names.
    """
    with np.load(paths[model["file"]], allow_pickle=False) as arrays:
        return LinearClassifier(**arrays)
