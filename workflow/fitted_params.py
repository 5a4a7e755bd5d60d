"""Params that fit the size of a table of one's own texts."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.batches import count_steps
from sentiment.params import PadParams, TrainParams

FITTED_PARAMS = (
    "pad.max_length",
    "train.batch_size",
    "train.epochs",
    "train.linear.ngrams",
    "train.linear.ending",
)
MIN_STEPS = 1000  # of a training; each preset has more on IMDB
MIN_BATCH_SIZE = 4  # texts; the steps of smaller batches follow single texts
UNCUT_SHARE = 0.99  # of the texts
SHORT_TEXT = 25  # words; the last quarter of such a text has at most six
SHORT_NGRAM = 2  # words


def fit_params(pad: PadParams, train: TrainParams, lengths: NDArray[np.int64]) -> dict[str, Any]:
    """Return `FITTED_PARAMS` for a dataset, by dotted name.

    Few texts get smaller batches, so that a training has `MIN_STEPS` steps in as many epochs as on
    a large dataset. It has more epochs only if batches of `MIN_BATCH_SIZE` are too large for that.
    Short texts get shorter rows, in which nearly all of them fit. If half of the texts are short,
    a linear model reads neither trigrams nor endings: few words have no ending of their own.

    Args:
        pad: the section `pad` for a large dataset with long texts.
        train: the section `train`, likewise.
        lengths: number of words of each training text, shape (texts,).
    """
    texts = max(1, math.floor(len(lengths) * (1 - train.validation_split)))
    batch_size = train.batch_size
    while batch_size > MIN_BATCH_SIZE and count_steps(texts, batch_size, train.epochs) < MIN_STEPS:
        batch_size -= 1
    steps_per_epoch = count_steps(texts, batch_size, 1)
    longest = np.quantile(lengths, UNCUT_SHARE, method="higher") + 1  # with the start token
    ngrams = train.linear.ngrams
    ending = train.linear.ending
    if train.architecture == "linear" and np.median(lengths) <= SHORT_TEXT:
        ngrams = min(ngrams, SHORT_NGRAM)
        ending = 0.0
    return {
        "pad.max_length": min(pad.max_length, int(longest)),
        "train.batch_size": batch_size,
        "train.epochs": max(train.epochs, math.ceil(MIN_STEPS / steps_per_epoch)),
        "train.linear.ngrams": ngrams,
        "train.linear.ending": ending,
    }
