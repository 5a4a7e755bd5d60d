"""The interface of a model that predicts texts, and the log-odds of its predictions."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import Word

EPSILON = 1e-7  # closer to 0 or 1, float32 cannot tell probabilities apart


class TextClassifier(Protocol):
    """A model that predicts the probability that a text, given as its known words, is positive."""

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the probability of each text, given as word ranks; shape (texts,)."""

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Return the ascending positions of the words that the model reads; shape (read,)."""

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Return the probability of the text, then without each read word; shape (1 + read,)."""

    def predict_prefixes(
        self, words: Sequence[Word], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the probability of the text up to and including the word at each position.

        The cost is linear in the number of words and in the number of positions.

        Returns:
            Shape (positions,).
        """


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-odds (natural logarithm) of probabilities of any shape."""
    clipped = np.clip(probability.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))
