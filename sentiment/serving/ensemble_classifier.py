"""Several models that answer as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import Word
from .pyfunc_model import TextClassifier, load_classifier, log_odds


@dataclass(frozen=True)
class EnsembleClassifier:
    """A `TextClassifier`: its log-odds are the mean of its members', by weights that add up to one.

    Source: Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence, of which
    this is the normalized product for two classes.
    """

    members: Sequence[TextClassifier]
    weights: Sequence[float]

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self._mean_log_odds([member.predict_probability(texts) for member in self.members])

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """A word is read if a member reads it."""
        return np.unique(np.concatenate([member.positions_read(words) for member in self.members]))

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """A member that does not read a word answers as it does to the entire text."""
        places = self.positions_read(words)
        rows = []
        for member in self.members:
            entire, *without = member.predict_without_each(words)
            row = np.full(1 + len(places), entire)
            row[1 + np.searchsorted(places, member.positions_read(words))] = without
            rows.append(row)
        return self._mean_log_odds(rows)

    def predict_prefixes(
        self, words: Sequence[Word], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return self._mean_log_odds(
            [member.predict_prefixes(words, places) for member in self.members]
        )

    def _mean_log_odds(self, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        odds = np.average(log_odds(np.stack(answers)), axis=0, weights=self.weights)
        return (1 / (1 + np.exp(-odds))).astype(np.float32)


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> EnsembleClassifier:
    """Load all members, see `sentiment.serving.pyfunc_model`."""
    members = model["members"]
    readers = [load_classifier(member, paths) for member in members]
    return EnsembleClassifier(readers, [member["weight"] for member in members])
