"""The linear architecture: the words and n-grams of a review, each present or not.

The logit of a review is a scaled sum plus a bias. The sum runs over the distinct words and n-grams
of the review: a fixed log-ratio of naive Bayes times a weight that is learned from 0. Words and
bigrams near the end of what is read, where the verdict tends to be, are counted a second time, as
features of their own. With more than two labels, each label has sums, log-ratios and weights of its
own, one label against the rest.

With pretrained word vectors, the mean and the maximum of the vectors of a review's words are
further features.

Only features that are in enough training reviews are read. Each has a row of its own in the tables
of log-ratios and weights, which have a column for each output. An index of slots gives the row for
the hash of a feature. If several features have the same slot, only the most frequent one is read.
On IMDB, this leaves out a third of the features, the rarest ones. XLA can compile this index, but
not the tables of `keras.layers.IntegerLookup`.

Sources: Wang and Manning 2012, *Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification*; Maiya's keras-nbsvm, which trains the weights by Adam without a penalty.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.model.batches import Split
from sentiment.model.layers import HEAD
from sentiment.params import LinearParams
from sentiment.text.padding import PADDING_TOKEN, UNKNOWN_TOKEN

if TYPE_CHECKING:
    import keras

HASH_PRIMES = (7_919, 1_000_003, 104_729)  # factors of the last word, the one before it, and so on
NO_NGRAM = -1
# Names of layers
INDEX = "index"  # for each slot, the rest of the hash of the feature that has it, and its row
LOG_RATIO = "log_ratio"
WEIGHT = "weight"
VECTOR_TABLE = "vectors"
VECTOR_WEIGHT = "vector_weight"
STANDARDIZE = "standardize"
INITIAL_SCALE = 2.0
# Adam and RMSprop divide each step by the root mean square of the gradients. With Keras' epsilon of
# 1e-7, the weight of a rare feature moves as far for a review that is predicted well as for one
# that is not. This one is about as large as that root, and damps the steps of rare features.
EPSILON = 2e-4
MAX_ENDING_NGRAM = 2  # words
# An index has at least twice as many slots as there are features, up to this maximum.
MAX_SLOTS = 2**20
# The index stores quotients of hashes as float32, which is exact below 2^24. Hashes are below 2^42.
MIN_SLOTS = 2**18
ENDING_OFFSET = 2**41 + 524_309  # above all hashes of n-grams; odd, so no multiple of the slots
# A word in at least this share of the reviews is read, even if a single review has it: unlike an
# n-gram, it is likely to occur in others.
MIN_WORD_SHARE = 1e-4
VECTOR_SCALE = 0.4  # of the standardized features of word vectors, beside the sums
BELOW_ALL = -2.0  # below each number of a vector of length 1
SMOOTHING = 1  # added to the number of reviews of each label, as in the paper
READ_BATCH_SIZE = 1024  # reviews


class KnownVectors(NamedTuple):
    """The word vectors that a model reads in addition to words and n-grams.

    Attributes:
        table: the vector of each token id, of length 1, shape (num_words, size). Zeros: it has
            none.
        weights: the weight of each vector in a mean, shape (num_words, 1). 0: it has no vector.
        pooled: the features of the training reviews, shape (reviews, 2 * size). They give the mean
            and the standard deviation of each.
    """

    table: NDArray[np.float32]
    weights: NDArray[np.float32]
    pooled: NDArray[np.float32]


class KnownFeatures(NamedTuple):
    """The words and n-grams that a model reads.

    Attributes:
        hashes: their hashes, shape (features,).
        log_ratios: their naive-Bayes log-ratios, shape (features, outputs).
        slots: number of slots of the index, a power of 2. No two features have the same slot.
        vectors: the word vectors, if there are any.
    """

    hashes: NDArray[np.int64]
    log_ratios: NDArray[np.float64]
    slots: int
    vectors: KnownVectors | None = None


def linear_features(params: LinearParams, tokens: Any, known: KnownFeatures) -> Any:
    """Return each review's sums of log-ratio times weight and, with vectors, their pooled values.

    Args:
        tokens: token ids, shape (batch, length).
        known: the features. Each has weights.

    Returns:
        Shape (batch, outputs) or, with vectors, (batch, outputs + 2 * size); float32.
    """
    import keras
    from keras import ops

    hashes = feature_hashes(params, tokens)
    # A hash is quotient * slots + slot. A feature is known if its slot stores its quotient. An
    # empty slot stores NO_NGRAM and row 0, which stands for all other features.
    index = keras.layers.Embedding(known.slots, 2, "zeros", trainable=False, name=INDEX)
    quotient, rows = ops.unstack(index(ops.mod(hashes, known.slots)), 2, axis=3)
    is_known = ops.equal(quotient, ops.cast(ops.floor_divide(hashes, known.slots), "float32"))
    rows = ops.cast(ops.where(is_known, rows, 0), "int32")
    # In ascending order, the repetitions of a row follow its first occurrence.
    ordered = ops.sort(ops.reshape(rows, (-1, rows.shape[1] * rows.shape[2])), axis=1)
    before = ops.pad(ordered[:, :-1], [[0, 0], [1, 0]])
    is_first = ops.cast(ops.not_equal(ordered, before), "float32")
    count, outputs = known.log_ratios.shape
    ratio = keras.layers.Embedding(count + 1, outputs, "zeros", trainable=False, name=LOG_RATIO)
    weight = keras.layers.Embedding(count + 1, outputs, "zeros", name=WEIGHT)
    values = ratio(ordered) * weight(ordered)
    sums = ops.sum(ops.expand_dims(is_first, 2) * values, axis=1)
    if known.vectors is None:
        return sums
    standardize = keras.layers.Normalization(name=STANDARDIZE)
    standardize.adapt(known.vectors.pooled)
    pooled = standardize(pool_vectors(tokens, known.vectors.table, known.vectors.weights))
    return keras.layers.Concatenate()([sums, VECTOR_SCALE * pooled])


def pool_vectors(tokens: Any, table: NDArray[np.float32], weights: NDArray[np.float32]) -> Any:
    """Return the weighted mean and the maximum of the vectors of each review, 0 without any.

    Args:
        tokens: token ids, shape (batch, length).
        table: the vector of each token id, shape (num_words, size).
        weights: the weight of each vector in the mean, shape (num_words, 1).

    Returns:
        Shape (batch, 2 * size), float32.
    """
    import keras
    from keras import ops

    table_layer = keras.layers.Embedding(*table.shape, trainable=False, name=VECTOR_TABLE)
    weight_layer = keras.layers.Embedding(*weights.shape, trainable=False, name=VECTOR_WEIGHT)
    vectors = table_layer(tokens)
    weight = weight_layer(tokens)
    table_layer.set_weights([table])
    weight_layer.set_weights([weights])
    total = ops.sum(weight, axis=1)
    mean = ops.sum(weight * vectors, axis=1) / ops.maximum(total, keras.config.epsilon())
    maximum = ops.max(ops.where(weight > 0, vectors, BELOW_ALL), axis=1)
    maximum = ops.where(total > 0, maximum, 0.0)
    return keras.layers.Concatenate()([mean, maximum])


def feature_hashes(params: LinearParams, tokens: Any) -> Any:
    """Return the hashes of the words and n-grams that end at each position.

    Those in the ending of a review have a second hash.

    Args:
        tokens: token ids, shape (batch, length).

    Returns:
        Shape (batch, length, n), int64. `NO_NGRAM` if there is no such feature.
    """
    from keras import ops

    hashes = [ngram_hashes(tokens, size) for size in range(1, params.ngrams + 1)]
    if params.ending:
        is_inside = _is_in_ending(tokens, params.ending)
        hashes += [
            ops.where(
                ops.logical_and(is_inside, ops.not_equal(of_size, NO_NGRAM)),
                of_size + ENDING_OFFSET,
                NO_NGRAM,
            )
            for of_size in hashes[:MAX_ENDING_NGRAM]
        ]
    return ops.stack(hashes, axis=2)


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


def find_features(
    params: LinearParams,
    train_split: Split,
    label_count: int,
    vectors: NDArray[np.float32] | None = None,
) -> KnownFeatures:
    """Choose the features that a model reads, and compute their log-ratios.

    Args:
        vectors: the word vector of each token id, shape (num_words, size), or None.

    Raises:
        UserError: all labels are the same, or no review has a known word.
    """
    if len(np.unique(train_split.y)) < 2:
        raise UserError("All training reviews have the same label. Add reviews with other labels.")
    hashes, counts = _count_reviews(params, train_split, label_count)
    reviews = counts.sum(axis=0)
    is_word = np.isin(hashes, HASH_PRIMES[0] * np.unique(train_split.x).astype(np.int64))
    is_frequent = reviews >= params.min_reviews
    is_frequent |= is_word & (reviews >= MIN_WORD_SHARE * len(train_split.y))
    hashes = hashes[is_frequent]
    counts = counts[:, is_frequent]
    if not len(hashes):
        raise UserError("The training reviews have no known word. Add reviews, or raise num_words.")
    slots = count_slots(min(len(hashes), params.max_features))
    chosen = choose_features(hashes, reviews[is_frequent], params.max_features, slots)
    outputs = 1 if label_count == 2 else label_count  # a single output is the second label
    ratios = [log_ratios(counts[:, chosen], label) for label in range(label_count)[-outputs:]]
    known_vectors = None if vectors is None else measure_vectors(vectors, train_split)
    return KnownFeatures(hashes[chosen], np.stack(ratios, axis=1), slots, known_vectors)


def measure_vectors(vectors: NDArray[np.float32], train_split: Split) -> KnownVectors:
    """Return the vectors scaled to length 1, and the features that they give the training reviews.

    Args:
        vectors: the word vector of each token id, shape (num_words, size).
    """
    import keras

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    table = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    frequencies = inverse_document_frequencies(train_split.x, len(vectors))
    weights = np.where(lengths > 0, frequencies[:, None], 0).astype(np.float32)
    tokens = keras.Input(train_split.x.shape[1:], dtype="int32")
    pooling = keras.Model(tokens, pool_vectors(tokens, table, weights))
    starts = range(0, len(train_split.y), READ_BATCH_SIZE)
    batches = [train_split.x[start : start + READ_BATCH_SIZE].astype(np.int32) for start in starts]
    pooled = np.concatenate([pooling.predict_on_batch(batch) for batch in batches])
    return KnownVectors(table, weights, pooled)


def inverse_document_frequencies(
    tokens: NDArray[np.integer[Any]], num_words: int
) -> NDArray[np.float64]:
    """Return the logarithm of the inverse share of the reviews that have each token, above 0.

    A token that no review has counts as if one had it.

    Source: Spärck Jones 1972, *A Statistical Interpretation of Term Specificity and Its Application
    in Retrieval*.

    Args:
        tokens: token ids, shape (reviews, length).

    Returns:
        Shape (num_words,).
    """
    reviews = np.zeros(num_words)
    for review in tokens:
        reviews[np.unique(review)] += 1
    return np.asarray(np.log((len(tokens) + 1) / np.maximum(reviews, 1)))


def count_slots(features: int) -> int:
    """Return the number of slots of an index for this many features."""
    slots = MIN_SLOTS
    while slots < min(2 * features, MAX_SLOTS):
        slots *= 2
    return slots


def initialize_linear_model(model: "keras.Model", known: KnownFeatures) -> None:
    """Give a model the features that it was built for, and the initial scale.

    Args:
        model: a model with the architecture `linear`.
    """
    slot_of_each = known.hashes % known.slots
    index = np.full((known.slots, 2), [NO_NGRAM, 0], np.float32)
    index[slot_of_each, 0] = known.hashes // known.slots
    index[slot_of_each, 1] = np.arange(1, len(slot_of_each) + 1)
    no_ratio = np.zeros((1, known.log_ratios.shape[1]))
    model.get_layer(INDEX).set_weights([index])
    model.get_layer(LOG_RATIO).set_weights([np.concatenate([no_ratio, known.log_ratios])])
    head = model.get_layer(HEAD)
    kernel, bias = head.get_weights()
    # The features of word vectors start with the weight 0.
    head.set_weights([INITIAL_SCALE * np.eye(*kernel.shape), bias])


def _count_reviews(
    params: LinearParams, split: Split, label_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the reviews of each label that have each feature.

    Returns:
        The ascending hashes of all features, shape (n,), and the number of reviews of each label
        that have each, shape (labels, n).
    """
    import keras

    tokens = keras.Input(split.x.shape[1:], dtype="int32")
    read = keras.Model(tokens, feature_hashes(params, tokens))
    distinct = []
    labels_of_distinct = []
    for start in range(0, len(split.y), READ_BATCH_SIZE):
        batch = split.x[start : start + READ_BATCH_SIZE].astype(np.int32)
        for hashes, label in zip(read.predict_on_batch(batch), split.y[start:], strict=False):
            distinct.append(np.unique(hashes[hashes != NO_NGRAM]))
            labels_of_distinct.append(np.full(len(distinct[-1]), label, np.uint8))
    all_hashes, inverse = np.unique(np.concatenate(distinct), return_inverse=True)
    actual = np.concatenate(labels_of_distinct)
    counts = [
        np.bincount(inverse[actual == label], minlength=len(all_hashes))
        for label in range(label_count)
    ]
    return all_hashes, np.stack(counts)


def choose_features(
    hashes: NDArray[np.int64], reviews: NDArray[np.int64], max_features: int, slots: int
) -> NDArray[np.int64]:
    """Choose the features that are in most reviews, one for each slot of the index.

    Args:
        hashes: hashes of all features, shape (n,).
        reviews: number of reviews that have each feature, shape (n,).

    Returns:
        The positions of the chosen features, shape (chosen,), the most frequent first.
    """
    order = np.argsort(-reviews, kind="stable")
    _, first = np.unique(hashes[order] % slots, return_index=True)
    return order[np.sort(first)][:max_features]


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
