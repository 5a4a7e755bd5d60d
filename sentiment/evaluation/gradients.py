"""Measure how far back a network can learn: its gradient at each distance from the last word.

The gradient of a word passes through all steps after the word. If it vanishes on the way, training
cannot find out that the word mattered, as Hochreiter found (1991, *Untersuchungen zu dynamischen
neuronalen Netzen*; Bengio et al. 1994, doi:10.1109/72.279181; Pascanu et al. 2013,
proceedings.mlr.press/v28/pascanu13).

The measure is the norm of the gradient of the logit with respect to the word's vector. It says how
strongly a small change of the vector changes the predictions for these reviews. It says neither
whether the model uses the word, nor what another training would have learned.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.model.layers import EMBEDDING, HEAD
from sentiment.text.padding import PADDING_TOKEN

if TYPE_CHECKING:
    import keras

MAX_REVIEWS = 256  # more reviews reduce the error of the means, and take longer
GRADIENT_BATCH_SIZE = 64  # reviews in a batch
REACH_THRESHOLD = 0.01  # share of the greatest mean norm at which a gradient still counts
LOWER_QUANTILE = 0.1  # over the reviews
UPPER_QUANTILE = 0.9
NO_GRADIENTS = pd.DataFrame(columns=["distance", "mean", "low", "high", "initial_mean"])


def measure_gradients(
    model: "keras.Model", initial_model: "keras.Model", x: NDArray[Any]
) -> pd.DataFrame:
    """Return the gradients of a recurrent network before and after its training.

    Args:
        model: the trained recurrent network. It is not changed.
        initial_model: the same network before the first epoch. It gets the trained weights, because
            one compilation, which takes a second, is then enough for both.
        x: token ids, shape (all reviews, length).

    Returns:
        The columns of `distance_table`, and `initial_mean`: `mean` before the first epoch.
    """
    selected = select_reviews(x, MAX_REVIEWS)
    norms_of = make_gradient_norms(initial_model)
    initial = distance_table(norms_by_distance(norms_of(selected), selected))
    initial_model.set_weights(model.get_weights())
    trained = distance_table(norms_by_distance(norms_of(selected), selected))
    return trained.assign(initial_mean=initial["mean"])


def make_gradient_norms(model: "keras.Model") -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return a function that computes the norm of the logit's gradient for each word's vector.

    The gradient of the loss (binary cross-entropy) of a review is the gradient of its logit times
    p - y, the same factor for all its words. Relative to each other, both therefore have the same
    norms. The gradient of the logit also exists if p is 0 or 1 in float32. With more than two
    labels, it is the logit of the most probable one.

    Args:
        model: a recurrent network. The function does not change it, and uses
            its weights at the time of each call.

    Returns:
        A function of token ids of any integer type, shape (reviews, length), that returns norms of
        this shape.
    """
    import keras
    import tensorflow as tf

    head = model.get_layer(HEAD)
    # Dropout after the embedding is part of the path of the gradient, and is off.
    outputs = keras.Model(model.input, [model.get_layer(EMBEDDING).output, head.input])

    def batch_norms(tokens: Any) -> Any:
        with tf.GradientTape() as tape:
            vectors, features = outputs(tokens, training=False)
            logits = tf.reduce_max(features @ head.kernel + head.bias, axis=1)
        return tf.norm(tape.gradient(logits, vectors), axis=2)

    compiled = tf.function(batch_norms, reduce_retracing=True)

    def gradient_norms(x: NDArray[Any]) -> NDArray[np.float32]:
        starts = range(0, len(x), GRADIENT_BATCH_SIZE)
        batches = [x[start : start + GRADIENT_BATCH_SIZE] for start in starts]
        return np.concatenate([compiled(tokens.astype(np.int32)).numpy() for tokens in batches])

    return gradient_norms


def select_reviews(x: NDArray[Any], max_reviews: int) -> NDArray[Any]:
    """Return the longest reviews. Of equally long ones, the first.

    Args:
        x: token ids, shape (all reviews, length).

    Returns:
        Shape (selected reviews, length).
    """
    words = np.count_nonzero(x != PADDING_TOKEN, axis=1)
    return x[np.argsort(-words, kind="stable")[:max_reviews]]


def norms_by_distance(norms: NDArray[np.float32], x: NDArray[Any]) -> NDArray[np.float64]:
    """Return norms by the distance from a review's last word, divided by the review's mean.

    The reviews' gradients differ in size. Divided by their mean, all reviews count the same.

    Args:
        norms: of the gradient of each word's vector, shape (reviews, length).
        x: token ids, shape (reviews, length), padded on either side.

    Returns:
        Shape (reviews, distances), the last word first. At least half of the reviews have a word at
        each distance; NaN for the others. Zeros for a review without any gradient.
    """
    is_word = x != PADDING_TOKEN
    words = np.count_nonzero(is_word, axis=1)
    last = is_word.shape[1] - 1 - np.argmax(is_word[:, ::-1], axis=1)
    distances = np.arange(int(np.median(words)))
    positions = np.maximum(last[:, None] - distances, 0)
    taken = np.take_along_axis(norms.astype(np.float64), positions, axis=1)
    taken[distances >= words[:, None]] = np.nan
    means = np.nanmean(taken, axis=1, keepdims=True)
    return np.asarray(taken / np.where(means > 0, means, 1))


def distance_table(relative_norms: NDArray[np.float64]) -> pd.DataFrame:
    """Return the gradient at each distance, relative to the mean at the last word.

    Args:
        relative_norms: shape (reviews, distances), NaN where a review has no word.

    Returns:
        Columns `distance`, in words before the last one; `mean` over the reviews; `low` and `high`,
        the quantiles `LOWER_QUANTILE` and `UPPER_QUANTILE`. If no last word has a gradient, which
        maximum pooling can cause, the values are relative to the greatest mean.
    """
    mean = np.nanmean(relative_norms, axis=0)
    scale = mean[0] or mean.max() or 1.0
    low, high = np.nanquantile(relative_norms, [LOWER_QUANTILE, UPPER_QUANTILE], axis=0)
    columns = {"mean": mean / scale, "low": low / scale, "high": high / scale}
    return pd.DataFrame({"distance": np.arange(len(mean)), **columns})


def gradient_reach(means: pd.Series) -> int:
    """Return the greatest distance, in words, with a mean of at least `REACH_THRESHOLD`.

    Args:
        means: the mean of each distance, from 0. The threshold is a share of the greatest mean.

    Returns:
        0 without any gradient.
    """
    reached = np.flatnonzero((means > 0) & (means >= REACH_THRESHOLD * means.max()))
    return int(reached[-1]) if len(reached) else 0
