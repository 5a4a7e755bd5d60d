"""What a served model is to the code that asks it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..text import Word
from .trace import Gates


class Reader(Protocol):
    """Texts, each a sequence of known words, to probabilities of being positive."""

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        """The probability for each text, shape (texts,)."""

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Which of a text's words are read, rising, shape (read,)."""

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Leave out what each word that is read says, one word at a time.

        Returns:
            The probability for the entire text, followed by those without each word that is read,
            shape (1 + read,).
        """

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability for the text cut after the word at each of these places, shape (places,).

        The cost is linear in the number of words and that of places.
        """

    def gates(self, words: Sequence[Word]) -> list[Gates] | None:
        """The gates of an LSTM at each word that is read; None for any other model."""
