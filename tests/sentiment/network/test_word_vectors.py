"""Words with the same neighbors start with similar vectors."""

from itertools import combinations

import numpy as np
import pytest

from sentiment.network.word_vectors import RMS_VALUE, WINDOW, word_vectors

PADDING = 0
UNKNOWN = 1
COLORS = (2, 3)
PAINT = 4
BEASTS = (5, 6)
ROAR = 7
NUM_WORDS = 10  # 8 and 9 never occur


def sentences() -> np.ndarray:
    """Return reviews with colors before paint and beasts before roar, all between padding."""
    pairs = [(word, PAINT) for word in COLORS] + [(word, ROAR) for word in BEASTS]
    return np.array([[PADDING, UNKNOWN, *pair, PADDING] for pair in pairs] * 5, np.uint16)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_words_with_the_same_neighbors_have_similar_vectors() -> None:
    vectors = word_vectors(sentences(), NUM_WORDS, 4, (PADDING, UNKNOWN))
    assert cosine(*vectors[list(COLORS)]) > 0.99
    assert cosine(*vectors[list(BEASTS)]) > 0.99
    assert abs(cosine(vectors[COLORS[0]], vectors[BEASTS[0]])) < 0.01
    assert vectors.shape == (NUM_WORDS, 4)
    assert vectors.dtype == np.float32
    assert np.sqrt(np.mean(vectors**2)) == np.float32(RMS_VALUE)
    sizes = np.abs(vectors).max(axis=1)
    assert (sizes[[PADDING, UNKNOWN, 8, 9]] < 1e-6).all()
    assert (sizes[[*COLORS, PAINT, *BEASTS, ROAR]] > 0.01).all()


@pytest.mark.parametrize(("distance", "near"), [(WINDOW, True), (WINDOW + 1, False)])
def test_words_co_occur_within_the_window(distance: int, near: bool) -> None:
    review = np.zeros((1, WINDOW + 2), np.uint16)
    review[0, [0, distance]] = COLORS
    assert word_vectors(review, NUM_WORDS, 3, (PADDING,)).any() == near


def test_vectors_decompose_the_positive_information_of_words_about_those_near_them() -> None:
    """A pair counts 1 / distance, and the shares of contexts are smoothed by a power of 0.75."""
    review = [2, 3, 4, 2]
    counts = np.zeros((5, 5))
    for one, other in combinations(range(4), 2):
        counts[review[one], review[other]] += 1 / (other - one)
    counts = (counts + counts.T)[2:, 2:]
    context = counts.sum(axis=0) ** 0.75 / (counts.sum(axis=0) ** 0.75).sum()
    information = np.log(np.maximum(counts / counts.sum(axis=1, keepdims=True) / context, 1))
    left, values, _ = np.linalg.svd(information)
    expected = (left * values) @ left.T  # vectors times vectors, whatever their signs
    vectors = word_vectors(np.array([review], np.uint16), 5, 3, (PADDING, UNKNOWN))[2:]
    products = vectors @ vectors.T
    np.testing.assert_allclose(products / products.trace(), expected / expected.trace(), atol=1e-5)
