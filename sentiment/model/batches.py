"""Split the training data, and batch it in the order in which Keras draws batches."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCHED_BATCHES = 2  # prepared while the model works on one; more are no faster


class Split(NamedTuple):
    """The training set or the validation set.

    Attributes:
        x: token ids of any integer type, which Keras casts, shape (reviews, max_length).
        y: indices of the labels, shape (reviews,).
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]


def train_validation_split(
    x: NDArray[Any], y: NDArray[np.uint8], share: float
) -> tuple[Split, Split]:
    """Split off the last share of the reviews, where Keras' `validation_split` does.

    Args:
        x: token ids, shape (reviews, max_length).
        y: indices of the labels, shape (reviews,).
        share: share of the reviews that become the validation set.

    Returns:
        The training set and the validation set, without copies of the arrays.

    Raises:
        UserError: one of the two sets would be empty.
    """
    at = math.floor(len(x) * (1 - share))
    if not 0 < at < len(x):
        raise UserError(
            f"validation_split: {share} of {len(x)} reviews leaves "
            "nothing to train on or nothing to validate with. Use another share."
        )
    return Split(x[:at], y[:at]), Split(x[at:], y[at:])


def count_steps(reviews: int, batch_size: int, epochs: int) -> int:
    """Return the number of steps of a training, one for each batch."""
    return epochs * math.ceil(reviews / batch_size)


def batched_dataset(*arrays: NDArray[Any], batch_size: int, shuffle: bool) -> "tf.data.Dataset":
    """Return a dataset of batches of arrays of the same length.

    Keras makes such a dataset itself when `fit` and `predict` get arrays, but with tf.data's
    autotuning. It has nothing to tune here, and when its thread sleeps, it delays the end of every
    epoch and every call by up to several seconds.

    Args:
        arrays: shapes (reviews, …), may be memory-mapped.
        batch_size: number of reviews in a batch. The last batch has the rest.
        shuffle: draw the order by TensorFlow's global seed. If that seed is set, every epoch has
            the same order, as with Keras' own dataset.

    Returns:
        Each batch is a tensor or, given several arrays, a tuple of tensors.
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
        # Index NumPy arrays, not tensors: memory-mapped files are then not read as a whole.
        taken = tuple(tf.numpy_function(read, [positions], types, stateful=False))
        for tensor, array in zip(taken, arrays, strict=True):
            tensor.set_shape([None, *array.shape[1:]])
        return taken if len(taken) > 1 else taken[0]

    positions = tf.data.Dataset.range(1).map(order).unbatch()
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = positions.batch(batch_size).map(take)
    return batches.prefetch(PREFETCHED_BATCHES).with_options(options)
