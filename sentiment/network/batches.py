"""What is trained on and what validates, and batches in the order in which Keras draws them."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

AHEAD = 2  # batches made while the model works on one; more gains nothing


class Split(NamedTuple):
    """Token ids, shape (reviews, max_length), and labels, shape (reviews,), 1 = positive."""

    x: NDArray[Any]
    y: NDArray[np.uint8]


def train_validation_split(
    x: NDArray[Any], y: NDArray[np.uint8], validation_split: float
) -> tuple[Split, Split]:
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
    return Split(x[:at], y[:at]), Split(x[at:], y[at:])


def batched_dataset(*arrays: NDArray[Any], batch_size: int, shuffle: bool) -> "tf.data.Dataset":
    """Cut arrays of the same length into batches.

    Keras makes such a dataset itself when `fit` and `predict` get arrays, but with tf.data's
    autotuning on, which here has nothing to tune and whose thread, once it sleeps, keeps every
    epoch and every call from ending for up to several seconds (docs/speed.md).

    The arrays, each of shape (reviews, …), may be mapped from files. With `shuffle` the order is
    drawn by TensorFlow's global seed; where that was set, every epoch gets the same one, as with
    Keras' own dataset.

    Returns:
        A dataset of one tensor, or a tuple of tensors, a batch; the last one has what is left.
    """
    import tensorflow as tf

    reviews = len(arrays[0])
    types = [array.dtype for array in arrays]

    def order(_: Any) -> Any:
        positions = tf.range(reviews, dtype=tf.int64)
        return tf.random.shuffle(positions) if shuffle else positions

    def read(positions: NDArray[np.int64]) -> list[NDArray[Any]]:
        return [array[positions] for array in arrays]

    def take(positions: Any) -> Any:
        # not of tensors: what is mapped from a file stays there
        taken = tuple(tf.numpy_function(read, [positions], types, stateful=False))
        for tensor, array in zip(taken, arrays, strict=True):
            tensor.set_shape([None, *array.shape[1:]])
        return taken if len(taken) > 1 else taken[0]

    positions = tf.data.Dataset.range(1).map(order).unbatch()
    options = tf.data.Options()
    options.autotune.enabled = False
    return positions.batch(batch_size).map(take).prefetch(AHEAD).with_options(options)
