"""Compute word vectors from co-occurrence in the training reviews, before the training."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

WINDOW = 5  # context words on each side; a word at distance d has weight 1 / d
CONTEXT_POWER = 0.75  # exponent of a context's share; below 1, rare contexts weigh less
VALUE_POWER = 0.5  # exponent of the singular values
ITERATIONS = 3  # power iterations of the randomized decomposition
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
