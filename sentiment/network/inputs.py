"""The inputs of a model."""

import math
from typing import TYPE_CHECKING, NamedTuple

from sentiment.network.params import TrainParams

if TYPE_CHECKING:
    from sentiment.padding import PadParams


class Inputs(NamedTuple):
    """The sizes of a model's inputs, and of an epoch of its training.

    Attributes:
        num_words: token ids run from 0 to num_words - 1.
        length: number of tokens of a review.
        steps_per_epoch: number of batches in an epoch, for the schedule of the learning rate.
    """

    num_words: int
    length: int
    steps_per_epoch: int


def model_inputs(pad: "PadParams", train: TrainParams, reviews: int) -> Inputs:
    """Return the inputs of a model that is trained on `reviews` reviews."""
    return Inputs(
        num_words=pad.num_words,
        length=pad.max_length,
        steps_per_epoch=math.ceil(reviews / train.batch_size),
    )
