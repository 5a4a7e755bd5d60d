"""What embeddings begin with: what can be counted or fitted before the network is trained."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.network.params import TrainParams

WINDOW = 5  # words to either side; one so many words away counts as 1 / that many
CONTEXT_POWER = 0.75  # of a context's share, so that rare contexts weigh less
VALUE_POWER = 0.5  # of the singular values
ITERATIONS = 3  # of the randomized decomposition
FEATURE_SCALE = (
    20  # of a logistic regression's features, so that good values of `wide.c` are 0.1 to 1
)
MAX_ITERATIONS = 1000  # of its solver, at most; IMDB takes 21
RMS_VALUE = 0.05  # root mean square of the values; that of Keras' own, within ±0.05, is 0.029


def word_vectors(
    tokens: NDArray[np.integer], num_words: int, units: int, marks: tuple[int, ...]
) -> NDArray[np.float32]:
    """Decompose the words' positive pointwise mutual information.

    Source: Levy, Goldberg and Dagan 2015, *Improving Distributional Similarity with Lessons
    Learned from Word Embeddings*, whose values the constants are.

    Args:
        tokens: token ids, all below `num_words`, shape (reviews, length).
        units: size of a vector, below `num_words`.
        marks: token ids that stand for no word.

    Returns:
        Shape (num_words, units). What is no word, or has none near it, has zeros.
    """
    from sklearn.utils.extmath import randomized_svd  # a second that most trainings need not wait

    information = _information(_counts(tokens, num_words, marks))
    left, values, _ = randomized_svd(information, units, n_iter=ITERATIONS, random_state=0)
    vectors: NDArray[np.float32] = (left * values**VALUE_POWER).astype(np.float32)
    size = np.sqrt(np.mean(vectors**2))
    return vectors * np.float32(RMS_VALUE / size if size else 0)


def bigram_vectors(
    start: NDArray[np.float32], buckets: NDArray[np.integer], labels: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Let the first value of each bucket be the log-ratio by which naive Bayes weighs it.

    Source: Wang and Manning 2012, *Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification*.

    Args:
        start: the vectors as Keras begins them, shape (buckets + 1, units).
        buckets: of each word's bigram, 0 for none, shape (reviews, length).
        labels: 1 = positive, 0 = negative, shape (reviews,).

    Returns:
        Shape (buckets + 1, units); that of no bigram has zeros.
    """
    ratio = _log_ratio(_occurrence(buckets, len(start)), labels, smoothing=1)  # as in the paper
    size = np.sqrt(np.mean(ratio[1:] ** 2))
    vectors = start.copy()
    vectors[:, 0] = ratio * (RMS_VALUE / size if size else 0)
    vectors[0] = 0
    return vectors


def wide_weights(
    features: NDArray[np.integer], labels: NDArray[np.integer], count: int, params: TrainParams
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fit a logistic regression to features times their log-ratio by naive Bayes.

    Source: as that of `bigram_vectors`.

    Args:
        features: of each review, from 1, below `count`, and 0 for none, shape (reviews, n); the
            same ones count once.
        labels: 1 = positive, 0 = negative, shape (reviews,).

    Returns:
        Each feature's weight, shape (count, 1), and the bias, shape (1,): log-odds are the sum of a
        review's weights, divided by the root of the number of its features, plus the bias.

    Raises:
        UserError: all labels are the same, or no feature is in enough reviews.
    """
    from sklearn.linear_model import LogisticRegression

    occurs, least = _occurrence(features, count)[:, 1:], params.wide.min_reviews
    sizes = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(occurs.sum(axis=1), 1)))
    kept = np.flatnonzero(occurs.sum(axis=0) >= least)
    if not len(kept):
        raise UserError(f"No word is in {least} reviews: lower train.wide.min_reviews.")
    if len(np.unique(labels)) < 2:
        raise UserError("All reviews to learn from have one label: set train.wide.buckets to 0.")
    occurs = occurs[:, kept]
    ratio = FEATURE_SCALE * _log_ratio(occurs, labels, params.wide.smoothing)
    balanced = None if params.class_weight == "none" else params.class_weight
    model = LogisticRegression(C=params.wide.c, class_weight=balanced, max_iter=MAX_ITERATIONS)
    model.fit(sizes @ occurs @ scipy.sparse.diags_array(ratio), labels)
    weights = np.zeros((count, 1), np.float32)
    weights[1 + kept, 0] = ratio * model.coef_[0]
    return weights, model.intercept_


def _log_ratio(
    occurs: scipy.sparse.csr_array, labels: NDArray[np.integer], smoothing: float
) -> NDArray[np.float64]:
    """The log-ratio by which naive Bayes weighs each feature, shape (features,)."""
    positive, negative = (smoothing + occurs[labels == label].sum(axis=0) for label in (1, 0))
    return np.asarray(np.log(positive / positive.sum() / negative * negative.sum()))


def _occurrence(features: NDArray[np.integer], count: int) -> scipy.sparse.csr_array:
    """Whether each review has each feature, shape (reviews, count)."""
    rows = np.arange(0, features.size + 1, features.shape[1])
    entries = np.ones(features.size, bool), features.ravel(), rows
    occurs = scipy.sparse.csr_array(entries, (len(features), count), copy=True)
    occurs.sum_duplicates()  # in the copy
    return occurs


def _counts(
    tokens: NDArray[np.integer], num_words: int, marks: tuple[int, ...]
) -> scipy.sparse.csr_array:
    """How often each word stands near each other, shape (num_words, num_words)."""
    counts = scipy.sparse.csr_array((num_words, num_words), dtype=np.float32)
    words = ~np.isin(tokens, marks)
    for distance in range(1, min(WINDOW, tokens.shape[1] - 1) + 1):
        both = words[:, :-distance] & words[:, distance:]
        pairs = tokens[:, :-distance][both], tokens[:, distance:][both]
        weights = np.full(len(pairs[0]), 1 / distance, np.float32)
        counts += scipy.sparse.coo_array((weights, pairs), counts.shape).tocsr()
    return counts + counts.T


def _information(counts: scipy.sparse.csr_array) -> scipy.sparse.coo_array:
    """The pairs whose pointwise mutual information is positive."""
    pairs, word = counts.tocoo(), counts.sum(axis=1)
    context = word**CONTEXT_POWER
    context /= context.sum() or 1
    row, column = pairs.coords
    information = np.log(pairs.data / word[row] / context[column])
    kept = information > 0
    return scipy.sparse.coo_array((information[kept], (row[kept], column[kept])), counts.shape)
