"""The linear architecture: the words and n-grams of a review, each present or not.

The logit of a review is a scaled sum plus a bias. The sum runs over the distinct words and n-grams
of the review: a fixed log-ratio of naive Bayes times a weight that is learned from 0. Words and
bigrams near the end of what is read, where the verdict tends to be, are counted a second time, as
features of their own. With more than two labels, each label has sums, log-ratios and weights of its
own, one label against the rest.

Only features that are in enough training reviews are read. Each has a row of its own in the tables
of log-ratios and weights, which have a column for each output. An index of slots gives the row for
the hash of a feature. If several features have the same slot, only the most frequent one is read.
On IMDB, this leaves out a third of the features, the rarest ones. XLA can compile this index, but
not the tables of `keras.layers.IntegerLookup`.

Sources: Wang and Manning 2012, *Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification*; Maiya's keras-nbsvm, which trains the weights by Adam without a penalty.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.network.batches import Split
from sentiment.params import LinearParams
from sentiment.prediction.reviews import PADDING_TOKEN, UNKNOWN_TOKEN

if TYPE_CHECKING:
    import keras

HASH_PRIMES = (7_919, 1_000_003, 104_729)  # factors of the last word, the one before it, and so on
NO_NGRAM = -1
# Names of layers, by which others find them
HASHES = "hashes"
INDEX = "index"  # for each slot, the rest of the hash of the feature that has it, and its row
LOG_RATIO = "log_ratio"
WEIGHT = "weight"
INITIAL_SCALE = 2.0
# Adam and RMSprop divide each step by the root mean square of the gradients. With Keras' epsilon of
# 1e-7, the weight of a rare feature moves as far for a review that is predicted well as for one
# that is not. This one is about as large as that root, and damps the steps of rare features.
EPSILON = 2e-4
MAX_ENDING_NGRAM = 2  # words
SLOTS = 2**20
ENDING_OFFSET = 2**41 + 524_309  # above all hashes of n-grams; not a multiple of `SLOTS`
SMOOTHING = 1  # added to the number of reviews of each label, as in the paper
HASH_BATCH_SIZE = 1024  # reviews


def linear_features(linear: LinearParams, tokens: Any, outputs: int) -> Any:
    """Return each review's sums of log-ratio times weight over its distinct features.

    Args:
        linear: the section `train.linear`.
        tokens: token ids, shape (batch, length).
        outputs: number of sums, see `sentiment.network.model.build_model`.

    Returns:
        Shape (batch, outputs), float32.
    """
    import keras
    from keras import ops

    features = [ngram_hashes(tokens, size) for size in range(1, linear.ngrams + 1)]
    if linear.ending:
        is_inside = _is_in_ending(tokens, linear.ending)
        features += [
            ops.where(
                ops.logical_and(is_inside, ops.not_equal(hashes, NO_NGRAM)),
                hashes + ENDING_OFFSET,
                NO_NGRAM,
            )
            for hashes in features[:MAX_ENDING_NGRAM]
        ]
    hashes = keras.layers.Identity(name=HASHES)(ops.stack(features, axis=2))
    # A hash is quotient * SLOTS + slot. A feature is known if its slot stores its quotient. An
    # empty slot stores NO_NGRAM and row 0, which stands for all other features.
    index = keras.layers.Embedding(SLOTS, 2, "zeros", trainable=False, name=INDEX)
    quotient, rows = ops.unstack(index(ops.mod(hashes, SLOTS)), 2, axis=3)
    is_known = ops.equal(quotient, ops.cast(ops.floor_divide(hashes, SLOTS), "float32"))
    rows = ops.cast(ops.where(is_known, rows, 0), "int32")
    # In ascending order, the repetitions of a row follow its first occurrence.
    ordered = ops.sort(ops.reshape(rows, (-1, rows.shape[1] * rows.shape[2])), axis=1)
    before = ops.pad(ordered[:, :-1], [[0, 0], [1, 0]])
    is_first = ops.cast(ops.not_equal(ordered, before), "float32")
    size = linear.max_features + 1
    ratio = keras.layers.Embedding(size, outputs, "zeros", trainable=False, name=LOG_RATIO)
    weight = keras.layers.Embedding(size, outputs, "zeros", name=WEIGHT)
    values = ratio(ordered) * weight(ordered)
    return ops.sum(ops.expand_dims(is_first, 2) * values, axis=1)


def ngram_hashes(tokens: Any, size: int) -> Any:
    """Return the hash of the n-gram that ends with each word.

    The hash is a sum over the n-gram's words, below 2^41 for up to a million words. Few n-grams of
    a dataset share a hash, so the hash identifies the n-gram.

    Args:
        tokens: token ids, shape (batch, length), any integer type.
        size: number of words of an n-gram, at most 3.

    Returns:
        Shape (batch, length), int64. `NO_NGRAM` if a word of the n-gram is padding or unknown.
    """
    from keras import ops

    tokens = ops.cast(tokens, "int64")  # products would overflow 32 bits
    hashes = ops.zeros_like(tokens)
    has_special = ops.zeros_like(tokens, "bool")
    for distance, prime in enumerate(HASH_PRIMES[:size]):
        earlier = ops.pad(tokens, [[0, 0], [distance, 0]], constant_values=PADDING_TOKEN)
        earlier = earlier[:, : tokens.shape[1]]
        hashes += prime * earlier
        for special_token in (PADDING_TOKEN, UNKNOWN_TOKEN):
            has_special = ops.logical_or(has_special, ops.equal(earlier, special_token))
    return ops.where(has_special, NO_NGRAM, hashes)


def _is_in_ending(tokens: Any, share: float) -> Any:
    """Return whether each token is in the last `share` of its review, shape (batch, length)."""
    from keras import ops

    is_token = ops.cast(ops.not_equal(tokens, PADDING_TOKEN), "float32")
    position = ops.cumsum(is_token, axis=1)
    return ops.greater(position, (1 - share) * position[:, -1:])


def initialize_linear_model(model: "keras.Model", linear: LinearParams, train_split: Split) -> None:
    """Choose the features that a model reads, and compute their log-ratios.

    Args:
        model: a model with the architecture `linear`.
        linear: the section `train.linear`.
        train_split: the training set.

    Raises:
        UserError: all labels are the same, or no feature is in enough reviews.
    """
    if len(np.unique(train_split.y)) < 2:
        raise UserError("All training reviews have the same label. Add reviews with other labels.")
    outputs = model.output_shape[1]
    labels = max(2, outputs)
    hashes, counts = _count_reviews(model, train_split, labels)
    chosen = choose_features(hashes, counts.sum(axis=0), linear.max_features, linear.min_reviews)
    if not len(chosen):
        raise UserError(
            f"No word is in {linear.min_reviews} training reviews. Lower train.linear.min_reviews."
        )
    index = np.full((SLOTS, 2), [NO_NGRAM, 0], np.float32)
    index[hashes[chosen] % SLOTS, 0] = hashes[chosen] // SLOTS
    index[hashes[chosen] % SLOTS, 1] = np.arange(1, len(chosen) + 1)
    ratios = np.zeros((linear.max_features + 1, outputs), np.float32)
    for output, label in enumerate(range(labels)[-outputs:]):  # a single output is the second label
        ratios[1 : len(chosen) + 1, output] = log_ratios(counts[:, chosen], label)
    model.get_layer(INDEX).set_weights([index])
    model.get_layer(LOG_RATIO).set_weights([ratios])
    head = model.get_layer("probability")
    kernel, bias = head.get_weights()
    head.set_weights([INITIAL_SCALE * np.eye(*kernel.shape), bias])


def _count_reviews(
    model: "keras.Model", split: Split, labels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the reviews of each label that have each feature.

    Args:
        model: a model with the architecture `linear`.
        split: the reviews.
        labels: number of labels.

    Returns:
        The ascending hashes of all features, shape (n,), and the number of reviews of each label
        that have each, shape (labels, n).
    """
    import keras

    read = keras.Model(model.input, model.get_layer(HASHES).output)
    distinct = []
    labels_of_distinct = []
    for start in range(0, len(split.y), HASH_BATCH_SIZE):
        batch = split.x[start : start + HASH_BATCH_SIZE].astype(np.int32)
        for hashes, label in zip(read.predict_on_batch(batch), split.y[start:], strict=False):
            distinct.append(np.unique(hashes[hashes != NO_NGRAM]))
            labels_of_distinct.append(np.full(len(distinct[-1]), label, np.uint8))
    all_hashes, inverse = np.unique(np.concatenate(distinct), return_inverse=True)
    actual = np.concatenate(labels_of_distinct)
    counts = [
        np.bincount(inverse[actual == label], minlength=len(all_hashes)) for label in range(labels)
    ]
    return all_hashes, np.stack(counts)


def choose_features(
    hashes: NDArray[np.int64], reviews: NDArray[np.int64], max_features: int, min_reviews: int
) -> NDArray[np.int64]:
    """Choose the features that are in most reviews, one for each slot of the index.

    Args:
        hashes: hashes of all features, shape (n,).
        reviews: number of reviews that have each feature, shape (n,).
        max_features: number of features to choose.
        min_reviews: a feature that is in fewer reviews is not chosen.

    Returns:
        The positions of the chosen features, shape (chosen,), the most frequent first.
    """
    order = np.argsort(-reviews, kind="stable")
    _, first = np.unique(hashes[order] % SLOTS, return_index=True)
    chosen = order[np.sort(first)][:max_features]
    return chosen[reviews[chosen] >= min_reviews]


def log_ratios(counts: NDArray[np.int64], label: int) -> NDArray[np.float64]:
    """Return the log-ratio by which naive Bayes weighs each feature, shape (features,).

    Args:
        counts: number of reviews of each label with each feature, shape (labels, features).
        label: the label that is compared with the rest.
    """
    of_label = counts[label]
    smoothed = SMOOTHING + np.stack([counts.sum(axis=0) - of_label, of_label])
    rest, label_itself = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
    return np.asarray(label_itself - rest)
