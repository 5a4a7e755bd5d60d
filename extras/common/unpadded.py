"""The test part for models that read words, not rows of token ids."""

import numpy as np
from numpy.typing import NDArray

from sentiment.scoring.answers import TestSet
from sentiment.text import Reviews
from workflow import files
from workflow.files import FETCH, arrays


def unpadded(test: Reviews, order: NDArray[np.int64], seen: NDArray[np.bool_]) -> TestSet:
    """The test part in this order, without rows of token ids.

    `seen` is whether each of `test` also occurs in training; both are of shape (reviews,).
    """
    none = np.zeros((len(order), 0), np.uint8)
    digest = files.short_digest(FETCH, arrays("test"))
    return TestSet(none, test.labels[order], order, seen[order], test, digest)
