"""Several models that answer as one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.serving.classifier import Reader, load_reader, log_odds
from sentiment.text import Word

READER = __name__  # in the settings of a served model


class Member(NamedTuple):
    """A model of an ensemble, and its weight; the weights of all add up to one."""

    reader: Reader
    weight: float


class Ensemble:
    """A `Reader`: its log-odds are the weighted mean of its members'.

    Source: Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence, of which
    this is the normalized product for two classes.

    Args:
        members: at least one.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        return self._together([member.reader.answers(texts) for member in self.members])

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """A word is read if a member reads it."""
        return np.unique(np.concatenate([member.reader.places(words) for member in self.members]))

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """A member that does not read a word answers as it does to the entire text."""
        every = self.places(words)
        rows = []
        for member in self.members:
            entire, *without = member.reader.without_each(words)
            row = np.full(1 + len(every), entire)
            row[1 + np.searchsorted(every, member.reader.places(words))] = without
            rows.append(row)
        return self._together(rows)

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._together([member.reader.after(words, places) for member in self.members])

    def _together(self, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        weights = [member.weight for member in self.members]
        return probability(np.average(log_odds(np.stack(answers)), axis=0, weights=weights))


def probability(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The probabilities of log-odds, of any shape."""
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> Ensemble:
    """Load all members, see `sentiment.serving.classifier`."""
    members = model["members"]
    return Ensemble([Member(load_reader(member, paths), member["weight"]) for member in members])
