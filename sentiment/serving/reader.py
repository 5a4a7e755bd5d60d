"""What a served model is to the code that asks it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .text import Word
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

    def after_each(self, words: Sequence[Word]) -> list[tuple[float, Gates | None]]:
        """For each word that is read: the probability for the text cut after it, and the gates of
        an LSTM at it."""
