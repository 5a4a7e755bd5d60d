"""The linear architecture: the words and n-grams of a review, each present or not.

The logit of a review is the sum over its distinct words and n-grams of a fixed log-ratio, by which
naive Bayes weighs them, times a learned weight that starts at 0. The words and bigrams of the end
of a review, where the verdict tends to be, also are features of their own.

Each n-gram has a row of the model's tables, by its hash. The most frequent n-gram of a row keeps
it, and the others are ignored: rows that n-grams shared cost a point of accuracy.

Sources: Wang and Manning 2012, *Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification*; Maiya's keras-nbsvm, which trains the weights by Adam without a penalty.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.network.batches import Split
from sentiment.network.inputs import Inputs
from sentiment.network.ngrams import NO_NGRAM, ngram_hashes
from sentiment.network.params import TrainParams

if TYPE_CHECKING:
    import keras

# Names of layers.
HASHES = "hashes"
CHECK = "check"  # tells the n-gram that has a row from others: its hash, divided by the buckets
LOG_RATIO = "log_ratio"
WEIGHT = "weight"
VECTORS = "ngram_weights"  # of the features that end with each word, shape (batch, length, n)
SCALE = 2.0  # of the sum before training: so scaled, it is learned well at a learning rate of 0.001
ENDING_NGRAMS = 2  # words in the longest n-grams that are features of the ending
ENDING_OFFSET = 2**40 + 524_309  # added to their hashes; odd, so that they have other buckets
SMOOTHING = 1  # added to the number of reviews of each class, as in the paper
REVIEWS_AT_ONCE = 1024  # whose n-grams are hashed at once


def linear_features(params: TrainParams, inputs: Inputs, tokens: Any) -> Any:
    """Return the sum over the distinct features of each review.

    Args:
        params: the section `train`.
        inputs: the inputs of the model.
        tokens: token ids, shape (batch, length).

    Returns:
        Shape (batch, 1), float32.
    """
    import keras
    from keras import ops

    linear = params.linear
    features = [ngram_hashes(tokens, size, inputs) for size in range(1, linear.ngrams + 1)]
    if linear.ending:
        is_inside = _is_in_ending(tokens, linear.ending, inputs)
        features += [
            ops.where(
                ops.logical_and(is_inside, ops.not_equal(hashes, NO_NGRAM)),
                hashes + ENDING_OFFSET,
                NO_NGRAM,
            )
            for hashes in features[:ENDING_NGRAMS]
        ]
    hashes = keras.layers.Identity(name=HASHES)(ops.stack(features, axis=2))
    rows = ops.where(ops.equal(hashes, NO_NGRAM), 0, 1 + ops.mod(hashes, linear.buckets))
    check = keras.layers.Embedding(linear.buckets + 1, 1, "zeros", trainable=False, name=CHECK)
    quotients = ops.cast(ops.floor_divide(hashes, linear.buckets), "float32")
    is_known = ops.equal(ops.squeeze(check(rows), 3), quotients)
    rows = ops.where(is_known, rows, 0)
    ratio = keras.layers.Embedding(linear.buckets + 1, 1, "zeros", trainable=False, name=LOG_RATIO)
    weight = keras.layers.Embedding(linear.buckets + 1, 1, "zeros", name=WEIGHT)
    weights = keras.layers.Identity(name=VECTORS)(ops.squeeze(weight(rows), 3))
    return _sum_distinct(rows, ops.squeeze(ratio(rows), 3) * weights)


def _is_in_ending(tokens: Any, share: float, inputs: Inputs) -> Any:
    """Return whether each token is in the last `share` of its review, shape (batch, length)."""
    from keras import ops

    is_token = ops.cast(ops.not_equal(tokens, inputs.padding_token), "float32")
    position = ops.cumsum(is_token, axis=1)
    return ops.greater(position, (1 - share) * position[:, -1:])


def _sum_distinct(rows: Any, values: Any) -> Any:
    """Sum the values of a review's distinct rows.

    Args:
        rows: row numbers, shape (batch, length, n).
        values: one for each row number, of the same shape.

    Returns:
        Shape (batch, 1).
    """
    from keras import ops

    size = rows.shape[1] * rows.shape[2]
    flat = ops.reshape(rows, (-1, size))
    order = ops.argsort(flat, axis=1)
    ordered = ops.take_along_axis(flat, order, axis=1)
    before = ops.pad(ordered[:, :-1], [[0, 0], [1, 0]])
    is_first = ops.cast(ops.not_equal(ordered, before), values.dtype)
    ordered_values = ops.take_along_axis(ops.reshape(values, (-1, size)), order, axis=1)
    return ops.sum(is_first * ordered_values, axis=1, keepdims=True)


def initialize(model: "keras.Model", params: TrainParams, train_split: Split) -> None:
    """Choose the n-grams that a model knows, and compute their log-ratios.

    Args:
        model: a model with the architecture `linear`.
        params: the section `train`.
        train_split: the training set.

    Raises:
        UserError: all labels are the same, or no n-gram is in enough reviews.
    """
    linear = params.linear
    hashes, counts = _count_reviews(model, train_split)
    known = choose_ngrams(hashes, counts.sum(axis=0), linear.buckets, linear.min_reviews)
    if not len(known):
        raise UserError(
            f"No word is in {linear.min_reviews} reviews: lower train.linear.min_reviews."
        )
    if len(np.unique(train_split.y)) < 2:
        raise UserError("All training reviews have the same label: there is nothing to learn.")
    rows = 1 + hashes[known] % linear.buckets
    check = np.full((linear.buckets + 1, 1), NO_NGRAM, np.float32)
    check[rows, 0] = hashes[known] // linear.buckets
    ratios = np.zeros((linear.buckets + 1, 1), np.float32)
    ratios[rows, 0] = log_ratios(counts[:, known])
    model.get_layer(CHECK).set_weights([check])
    model.get_layer(LOG_RATIO).set_weights([ratios])
    head = model.get_layer("probability")
    kernel, bias = head.get_weights()
    head.set_weights([np.full_like(kernel, SCALE), bias])


def _count_reviews(
    model: "keras.Model", split: Split
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the reviews of each class that have each n-gram.

    Returns:
        The ascending hashes of all n-grams, shape (n,), and the number of negative and of positive
        reviews that have each, shape (2, n).
    """
    import keras

    read = keras.Model(model.input, model.get_layer(HASHES).output)
    distinct = []
    labels = []
    for start in range(0, len(split.y), REVIEWS_AT_ONCE):
        batch = split.x[start : start + REVIEWS_AT_ONCE].astype(np.int32)
        for hashes, label in zip(read.predict_on_batch(batch), split.y[start:], strict=False):
            distinct.append(np.unique(hashes[hashes != NO_NGRAM]))
            labels.append(np.full(len(distinct[-1]), label, bool))
    all_hashes, inverse = np.unique(np.concatenate(distinct), return_inverse=True)
    is_positive = np.concatenate(labels)
    counts = [
        np.bincount(inverse[mask], minlength=len(all_hashes))
        for mask in (~is_positive, is_positive)
    ]
    return all_hashes, np.stack(counts)


def choose_ngrams(
    hashes: NDArray[np.int64], reviews: NDArray[np.int64], buckets: int, min_reviews: int
) -> NDArray[np.int64]:
    """Choose the most frequent n-gram of each bucket, if enough reviews have it.

    Args:
        hashes: of all n-grams, shape (n,).
        reviews: number of reviews that have each n-gram, shape (n,).
        buckets: number of buckets.
        min_reviews: an n-gram that is in fewer reviews is not chosen.

    Returns:
        The positions of the chosen n-grams, shape (chosen,).
    """
    order = np.lexsort((-reviews, hashes % buckets))
    _, first = np.unique(hashes[order] % buckets, return_index=True)
    chosen = order[first]
    return chosen[reviews[chosen] >= min_reviews]


def log_ratios(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log-ratio by which naive Bayes weighs each feature, shape (features,).

    Args:
        counts: number of negative and of positive reviews with each feature, shape (2, features).
    """
    smoothed = SMOOTHING + counts
    negative, positive = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
    return np.asarray(positive - negative)
