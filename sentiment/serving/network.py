"""A neural network as it reads texts: padded to its length, as its training data was."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import text
from ..backend import load_keras
from ..text import Layout, Word
from .predictor import Predictor
from .trace import Gates, Watch, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

FILE = "model.keras"


class Network:
    """A `Reader`.

    Args:
        ask: the model.
        layout: how a text becomes a row of token ids.
    """

    def __init__(self, ask: Predictor, layout: Layout) -> None:
        self.ask = ask
        self.layout = layout

    def answers(self, texts: "Sequence[Sequence[Word]]") -> NDArray[np.float32]:
        return self.ask(text.pad_words(texts, self.layout))

    def places(self, words: "Sequence[Word]") -> NDArray[np.int64]:
        return self._read(len(words))[1]

    def without_each(self, words: "Sequence[Word]") -> NDArray[np.float32]:
        """Put an unknown word in the place of each word that is read."""
        tokens = text.pad_words([words], self.layout)
        columns, _ = self._read(len(words))
        without = np.repeat(tokens, len(columns), axis=0)
        without[np.arange(len(columns)), columns] = self.layout.unknown_token
        return self.ask(np.concatenate([tokens, without]))

    def after(self, words: "Sequence[Word]", places: NDArray[np.int64]) -> NDArray[np.float32]:
        most, ends = self.layout.max_length, places + 1
        if self.layout.truncating == "post":
            ends = np.minimum(ends, most)  # no more is read
        return self.answers([words[max(end - most, 0) : end] for end in ends])

    def gates(self, words: "Sequence[Word]") -> list[Gates] | None:
        if self._watch is None:
            return None
        steps = self._watch(text.pad_words([words], self.layout)[0])
        return [steps[column] for column in self._read(len(words))[0]]

    @cached_property  # since it is compiled
    def _watch(self) -> Watch | None:
        return watch(self.ask.model)

    def _read(self, words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The columns of the row of a text of so many words that have a word, and which word."""
        position, inside = text.positions(np.array([words + 1]), self.layout)
        columns = np.flatnonzero(inside[0] & (position[0] > 0))  # position 0 is the start mark
        return columns, position[0, columns] - 1


def load(path: Path, batch_size: int, layout: Layout) -> Network:
    """Load the Keras model and compile it, so that the first request does not wait for that."""
    model: keras.Model = load_keras().saving.load_model(path, compile=False)
    ask = Predictor(model, batch_size)
    ask(np.zeros((1, ask.length), np.int32))
    return Network(ask, layout)
