"""Several models that answer as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.serving.classifier import Reader, load_reader, log_odds
from sentiment.text import Word

READER = __name__  # in the settings of a served model


@dataclass(frozen=True)
class Ensemble:
    """A `Reader`: its log-odds are the mean of its members', by weights that add up to one.

    Source: Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence, of which
    this is the normalized product for two classes.
    """

    members: Sequence[Reader]
    weights: Sequence[float]

    def answers(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self._together([member.answers(texts) for member in self.members])

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """A word is read if a member reads it."""
        return np.unique(np.concatenate([member.places(words) for member in self.members]))

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """A member that does not read a word answers as it does to the entire text."""
        places = self.places(words)
        rows = []
        for member in self.members:
            entire, *without = member.without_each(words)
            row = np.full(1 + len(places), entire)
            row[1 + np.searchsorted(places, member.places(words))] = without
            rows.append(row)
        return self._together(rows)

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._together([member.after(words, places) for member in self.members])

    def _together(self, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        odds = np.average(log_odds(np.stack(answers)), axis=0, weights=self.weights)
        return (1 / (1 + np.exp(-odds))).astype(np.float32)


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> Ensemble:
    """Load all members, see `sentiment.serving.classifier`."""
    members = model["members"]
    readers = [load_reader(member, paths) for member in members]
    return Ensemble(readers, [member["weight"] for member in members])
