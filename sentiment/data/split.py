"""The part of the training data that is trained on, and the part that validates."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError


class Part(NamedTuple):
    """Reviews to learn from or to validate on.

    Attributes:
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,), 1 = positive.
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]


def split(x: NDArray[Any], y: NDArray[np.uint8], validation_split: float) -> tuple[Part, Part]:
    """Set the last share aside for validation, cut where Keras' `validation_split` cuts.

    Raises:
        UserError: one of the two parts would be empty.
    """
    at = math.floor(len(x) * (1 - validation_split))
    if not 0 < at < len(x):
        raise UserError(
            f"train.validation_split: {validation_split} of {len(x)} reviews leaves "
            "nothing to train on or nothing to validate with."
        )
    return Part(x[:at], y[:at]), Part(x[at:], y[at:])
