"""Embeddings are initialized from counts: neighbors of words, and bigrams of each class."""

import numpy as np
import pytest

from sentiment.network.initial_weights import RMS_VALUE, WINDOW, bigram_vectors, word_vectors

PADDING, UNKNOWN, COLOURS, PAINT, BEASTS, ROAR = 0, 1, (2, 3), 4, (5, 6), 7
NUM_WORDS = 10  # 8 and 9 never occur


def sentences() -> np.ndarray:
    """Colours stand before paint, beasts before roar; between two reviews there is padding."""
    pairs = [(word, PAINT) for word in COLOURS] + [(word, ROAR) for word in BEASTS]
    return np.array([[PADDING, UNKNOWN, *pair, PADDING] for pair in pairs] * 5, np.uint16)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_words_with_the_same_neighbors_have_similar_vectors() -> None:
    vectors = word_vectors(sentences(), NUM_WORDS, 4, (PADDING, UNKNOWN))
    assert cosine(*vectors[list(COLOURS)]) > 0.99
    assert cosine(*vectors[list(BEASTS)]) > 0.99
    assert abs(cosine(vectors[COLOURS[0]], vectors[BEASTS[0]])) < 0.01
    assert vectors.shape == (NUM_WORDS, 4)
    assert vectors.dtype == np.float32
    assert np.sqrt(np.mean(vectors**2)) == np.float32(RMS_VALUE)
    sizes = np.abs(vectors).max(axis=1)
    assert (sizes[[PADDING, UNKNOWN, 8, 9]] < 1e-6).all()
    assert (sizes[[*COLOURS, PAINT, *BEASTS, ROAR]] > 0.01).all()


@pytest.mark.parametrize(("distance", "near"), [(WINDOW, True), (WINDOW + 1, False)])
def test_words_co_occur_within_the_window(distance: int, near: bool) -> None:
    review = np.zeros((1, WINDOW + 2), np.uint16)
    review[0, [0, distance]] = COLOURS
    assert word_vectors(review, NUM_WORDS, 3, (PADDING,)).any() == near


def test_first_value_of_a_bigram_is_the_naive_bayes_log_ratio() -> None:
    buckets = np.array([[1, 1, 2], [1, 3, 0], [2, 2, 0], [3, 3, 3]])  # 4 never occurs
    labels = np.array([1, 1, 0, 0])
    vectors = bigram_vectors(np.full((5, 2), 7, np.float32), buckets, labels)
    positive, negative = np.array([2, 3, 2, 2, 1]), np.array([2, 1, 2, 2, 1])
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    np.testing.assert_allclose(vectors[1:, 0] / vectors[1, 0], ratio[1:] / ratio[1], rtol=1e-5)
    assert np.sqrt(np.mean(vectors[1:, 0] ** 2)) == pytest.approx(RMS_VALUE)
    assert vectors[1, 0] > 0
    assert (vectors[1:, 1] == 7).all()
    assert not vectors[0].any()
