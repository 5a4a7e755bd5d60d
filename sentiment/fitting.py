"""The params that fit a table of one's own texts."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.network.batches import count_steps
from sentiment.params import PadParams, TrainParams

FITTED_PARAMS = ("pad.max_length", "train.batch_size", "train.epochs")
MIN_STEPS = 1000  # of a training; each preset has more on IMDB
UNCUT_SHARE = 0.99  # of the texts


def fit_params(pad: PadParams, train: TrainParams, lengths: NDArray[np.int64]) -> dict[str, Any]:
    """Return `FITTED_PARAMS` for a dataset, by dotted name.

    Few texts get smaller batches, so that a training has `MIN_STEPS` steps in as many epochs as on
    a large dataset. It has more epochs only if batches of a single text are too few. Short texts
    get shorter rows, in which nearly all of them fit.

    Args:
        pad: the section `pad` for a large dataset with long texts.
        train: the section `train`, likewise.
        lengths: number of words of each training text, shape (texts,).
    """
    texts = max(1, math.floor(len(lengths) * (1 - train.validation_split)))
    batch_size = train.batch_size
    while batch_size > 1 and count_steps(texts, batch_size, train.epochs) < MIN_STEPS:
        batch_size -= 1
    steps_per_epoch = count_steps(texts, batch_size, 1)
    longest = np.quantile(lengths, UNCUT_SHARE, method="higher") + 1  # with the start token
    fitted = (
        min(pad.max_length, int(longest)),
        batch_size,
        max(train.epochs, math.ceil(MIN_STEPS / steps_per_epoch)),
    )
    return dict(zip(FITTED_PARAMS, fitted, strict=True))
