"""The lengths of texts, to which params are fitted."""

import numpy as np
from numpy.typing import NDArray

from sentiment.params import StrictModel

UNCUT_SHARE = 0.99  # of the texts


class TextLengths(StrictModel):
    """The lengths of the training texts, in words.

    Attributes:
        texts: the number of the texts.
        median: half of the texts have at most as many words.
        uncut: `UNCUT_SHARE` of the texts have at most as many words.
    """

    texts: int
    median: float
    uncut: int


def measure_lengths(lengths: NDArray[np.int64]) -> TextLengths:
    """Summarize the number of words of each training text, shape (texts,)."""
    return TextLengths(
        texts=len(lengths),
        median=float(np.median(lengths)),
        uncut=int(np.quantile(lengths, UNCUT_SHARE, method="higher")),
    )
