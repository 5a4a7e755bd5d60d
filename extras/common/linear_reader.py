"""A linear model of words and bigrams, pairs of words that follow each other, as plain arrays."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.text import Word

FILE = "model.npz"
READER = __name__  # in the settings of a served model
BIGRAM_BITS = 32  # by which the first word is moved, so that no bigram equals a word


def bigrams(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The keys of the bigrams in a sequence of ranks, shape (words - 1,); a word's is its rank."""
    return (ranks[:-1] << BIGRAM_BITS) + ranks[1:]


@dataclass(frozen=True)
class Linear:
    """A `Reader`: log-odds of positive are `bias` and the sum of values times weights of features.

    A feature's value is its scale, times its number of occurrences if they are `counted`; all
    values are divided by their Euclidean norm if they are `normalized`.

    Attributes:
        keys: of the features, rising, int64, shape (features,), see `bigrams`.
        scale: shape (features,), float32.
        weights: shape (features,), float32.
        bias: shape (), float32.
        counted: shape (), whether occurrences are counted.
        normalized: shape (), whether values are divided by their norm.
    """

    keys: NDArray[np.int64]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    counted: NDArray[np.bool_]
    normalized: NDArray[np.bool_]

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        return self.probabilities([ranks_of(words) for words in texts])

    def probabilities(self, reviews: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The probabilities for reviews, each the ranks of its words, shape (words,)."""
        odds = [self._tally(ranks).log_odds() for ranks in reviews]
        return np.array([probability(value) for value in odds], np.float32)

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """All are read."""
        return np.arange(len(words))

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Take each word away, and the bigrams with it."""
        tally = self._tally(ranks_of(words))
        odds = [tally.log_odds(), *tally.without_each()]
        return np.array([probability(value) for value in odds], np.float32)

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        odds = list(Tally(self, ranks_of(words)).after_each())
        return np.array([probability(odds[place]) for place in places], np.float32)

    def _tally(self, ranks: NDArray[np.int64]) -> "Tally":
        tally = Tally(self, ranks)
        for place in range(len(ranks)):
            tally.read(place)
        return tally

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which feature each key is, -1 for one that is none; shape as given."""
        places = np.searchsorted(self.keys, keys)
        places[places == len(self.keys)] = 0
        return np.where(self.keys[places] == keys, places, -1)


class Tally:
    """What has been read of a text, as the sums that its log-odds are made from.

    Args:
        model: by which it is read.
        ranks: of the text's words, shape (words,).
    """

    def __init__(self, model: Linear, ranks: NDArray[np.int64]) -> None:
        self.model = model
        self.words = model.find(ranks).tolist()
        self.bigrams = model.find(bigrams(ranks)).tolist()
        self.counts: dict[int, int] = {}
        self.sum = self.square = 0.0
        known = {*self.words, *self.bigrams} - {-1}
        self.known = {
            each: (float(model.scale[each]), float(model.weights[each])) for each in known
        }

    def read(self, place: int) -> None:
        """Add a word and the bigram that it completes."""
        self._change(self.words[place], 1)
        if place:
            self._change(self.bigrams[place - 1], 1)

    def log_odds(self) -> float:
        """Of what was read."""
        normal = self.model.normalized and self.square > 0
        return self.sum / (math.sqrt(self.square) if normal else 1) + float(self.model.bias)

    def after_each(self) -> Iterator[float]:
        """Read all, and give the log-odds after each word."""
        for place in range(len(self.words)):
            self.read(place)
            yield self.log_odds()

    def without_each(self) -> Iterator[float]:
        """The log-odds without each word, of a text that was read."""
        for place, word in enumerate(self.words):
            gone = [word, *self.bigrams[max(place - 1, 0) : place + 1]]
            before = self.sum, self.square
            for feature in gone:
                self._change(feature, -1)
            yield self.log_odds()
            for feature in gone:
                self._change(feature, 1)
            self.sum, self.square = before  # else rounding would add up

    def _change(self, feature: int, by: int) -> None:
        """Let a feature occur so many times more."""
        if feature < 0:
            return
        scale, weight = self.known[feature]
        count = self.counts.get(feature, 0)
        old, new = (scale * (n if self.model.counted else n > 0) for n in (count, count + by))
        self.counts[feature] = count + by
        self.sum += (new - old) * weight
        self.square += new * new - old * old


def ranks_of(words: Sequence[Word]) -> NDArray[np.int64]:
    """The ranks of the words, shape (words,)."""
    return np.fromiter((word.rank for word in words), np.int64, len(words))


def probability(log_odds: float) -> float:
    """Of the log-odds."""
    return 0.5 + 0.5 * math.tanh(0.5 * log_odds)  # exp would overflow


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> Linear:
    """Read a model's arrays, which `numpy.savez` wrote, see `sentiment.serving.classifier`."""
    with np.load(paths[model["file"]], allow_pickle=False) as arrays:
        return Linear(**arrays)
