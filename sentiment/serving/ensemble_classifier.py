"""Predict with several models together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import Word
from .text_classifier import TextClassifier, log_odds


@dataclass(frozen=True)
class EnsembleClassifier:
    """A `TextClassifier` whose log-odds are the weighted mean of its members' log-odds.

    This is the normalized product of experts for two classes.

    Source: Hinton 2002, *Training Products of Experts by Minimizing Contrastive Divergence*.

    Attributes:
        members: the models.
        weights: the weight of each member. Their sum is 1.
    """

    members: Sequence[TextClassifier]
    weights: Sequence[float]

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self._mean_log_odds([member.predict_probability(texts) for member in self.members])

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Return the positions of words that at least one member reads."""
        return np.unique(np.concatenate([member.positions_read(words) for member in self.members]))

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Use a member's prediction for the whole text if the member does not read the word."""
        positions = self.positions_read(words)
        rows = []
        for member in self.members:
            whole, *without = member.predict_without_each(words)
            row = np.full(1 + len(positions), whole)
            row[1 + np.searchsorted(positions, member.positions_read(words))] = without
            rows.append(row)
        return self._mean_log_odds(rows)

    def predict_prefixes(
        self, words: Sequence[Word], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return self._mean_log_odds(
            [member.predict_prefixes(words, positions) for member in self.members]
        )

    def _mean_log_odds(self, probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the probabilities that the weighted mean of the members' log-odds stands for."""
        odds = np.average(log_odds(np.stack(probabilities)), axis=0, weights=self.weights)
        return (1 / (1 + np.exp(-odds))).astype(np.float32)
