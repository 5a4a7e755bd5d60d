"""Compute initial weights from counts, and fit the linear component, before the training."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.network.params import TrainParams

WINDOW = 5  # context words on each side; a word at distance d has weight 1 / d
CONTEXT_POWER = 0.75  # exponent of a context's share; below 1, rare contexts weigh less
VALUE_POWER = 0.5  # exponent of the singular values
ITERATIONS = 3  # power iterations of the randomized decomposition
FEATURE_SCALE = (
    20  # of a logistic regression's features; with it, good values of wide.c are 0.1 to 1
)
MAX_ITERATIONS = 1000  # of the solver of the logistic regression; IMDB takes 21
RMS_VALUE = 0.05  # root mean square of the vectors' values; in Keras, within ±0.05, it is 0.029


def word_vectors(
    tokens: NDArray[np.integer], num_words: int, units: int, special_tokens: tuple[int, ...]
) -> NDArray[np.float32]:
    """Decompose the positive pointwise mutual information of the words.

    Source: Levy, Goldberg and Dagan 2015, *Improving Distributional Similarity with Lessons
    Learned from Word Embeddings*, whose values the constants are.

    Args:
        tokens: token ids below `num_words`, shape (reviews, length).
        num_words: number of token ids.
        units: size of a vector, below `num_words`.
        special_tokens: token ids that are not words.

    Returns:
        Shape (num_words, units). Special tokens, and words without a word near them, have zeros.
    """
    from sklearn.utils.extmath import randomized_svd  # takes a second that most trainings save

    information = _information(_cooccurrences(tokens, num_words, special_tokens))
    left, values, _ = randomized_svd(information, units, n_iter=ITERATIONS, random_state=0)
    vectors: NDArray[np.float32] = (left * values**VALUE_POWER).astype(np.float32)
    rms = np.sqrt(np.mean(vectors**2))
    return vectors * np.float32(RMS_VALUE / rms if rms else 0)


def bigram_vectors(
    initial: NDArray[np.float32], buckets: NDArray[np.integer], labels: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Set the first value of each bucket's vector to the log-ratio by which naive Bayes weighs it.

    Source: Wang and Manning 2012, *Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification*.

    Args:
        initial: the vectors that Keras initialized, shape (buckets + 1, units).
        buckets: the bucket of each word's bigram, 0 for none, shape (reviews, length).
        labels: 1 = positive, 0 = negative, shape (reviews,).

    Returns:
        Shape (buckets + 1, units). The vector of bucket 0 has zeros.
    """
    ratio = _log_ratio(_occurrence(buckets, len(initial)), labels, smoothing=1)  # as in the paper
    rms = np.sqrt(np.mean(ratio[1:] ** 2))
    vectors = initial.copy()
    vectors[:, 0] = ratio * (RMS_VALUE / rms if rms else 0)
    vectors[0] = 0
    return vectors


def wide_weights(
    features: NDArray[np.integer], labels: NDArray[np.integer], count: int, params: TrainParams
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fit a logistic regression to features times their log-ratio by naive Bayes.

    The log-odds of a review are the sum of its features' weights, divided by the square root of the
    number of its features, plus the bias. A feature that occurs several times counts once.

    Source: the same as of `bigram_vectors`.

    Args:
        features: the features of each review, from 1, below `count`, and 0 for none, shape
            (reviews, n).
        labels: 1 = positive, 0 = negative, shape (reviews,).
        count: number of features, including 0.
        params: the section `train`.

    Returns:
        The weight of each feature, shape (count, 1), and the bias, shape (1,).

    Raises:
        UserError: all labels are the same, or no feature is in enough reviews.
    """
    from sklearn.linear_model import LogisticRegression

    min_reviews = params.wide.min_reviews
    occurs = _occurrence(features, count)[:, 1:]
    scales = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(occurs.sum(axis=1), 1)))
    kept = np.flatnonzero(occurs.sum(axis=0) >= min_reviews)
    if not len(kept):
        raise UserError(f"No word is in {min_reviews} reviews: lower train.wide.min_reviews.")
    if len(np.unique(labels)) < 2:
        raise UserError("All training reviews have the same label: set train.wide.buckets to 0.")
    occurs = occurs[:, kept]
    ratio = FEATURE_SCALE * _log_ratio(occurs, labels, params.wide.smoothing)
    class_weight = None if params.class_weight == "none" else params.class_weight
    model = LogisticRegression(C=params.wide.c, class_weight=class_weight, max_iter=MAX_ITERATIONS)
    model.fit(scales @ occurs @ scipy.sparse.diags_array(ratio), labels)
    weights = np.zeros((count, 1), np.float32)
    weights[1 + kept, 0] = ratio * model.coef_[0]
    return weights, model.intercept_


def _log_ratio(
    occurs: scipy.sparse.csr_array, labels: NDArray[np.integer], smoothing: float
) -> NDArray[np.float64]:
    """Return the log-ratio by which naive Bayes weighs each feature, shape (features,)."""
    positive, negative = (smoothing + occurs[labels == label].sum(axis=0) for label in (1, 0))
    return np.asarray(np.log(positive / positive.sum() / negative * negative.sum()))


def _occurrence(features: NDArray[np.integer], count: int) -> scipy.sparse.csr_array:
    """Return whether each review has each feature, shape (reviews, count)."""
    row_starts = np.arange(0, features.size + 1, features.shape[1])
    entries = np.ones(features.size, bool), features.ravel(), row_starts
    occurs = scipy.sparse.csr_array(entries, (len(features), count), copy=True)
    occurs.sum_duplicates()  # changes the indices, so they had to be copied
    return occurs


def _cooccurrences(
    tokens: NDArray[np.integer], num_words: int, special_tokens: tuple[int, ...]
) -> scipy.sparse.csr_array:
    """Return how often words occur near each other, shape (num_words, num_words)."""
    counts = scipy.sparse.csr_array((num_words, num_words), dtype=np.float32)
    is_word = ~np.isin(tokens, special_tokens)
    for distance in range(1, min(WINDOW, tokens.shape[1] - 1) + 1):
        both = is_word[:, :-distance] & is_word[:, distance:]
        pairs = tokens[:, :-distance][both], tokens[:, distance:][both]
        weights = np.full(len(pairs[0]), 1 / distance, np.float32)
        counts += scipy.sparse.coo_array((weights, pairs), counts.shape).tocsr()
    return counts + counts.T


def _information(counts: scipy.sparse.csr_array) -> scipy.sparse.coo_array:
    """Return the pointwise mutual information of all pairs for which it is positive."""
    pairs = counts.tocoo()
    word = counts.sum(axis=1)
    context = word**CONTEXT_POWER
    context /= context.sum() or 1
    row, column = pairs.coords
    information = np.log(pairs.data / word[row] / context[column])
    kept = information > 0
    return scipy.sparse.coo_array((information[kept], (row[kept], column[kept])), counts.shape)
