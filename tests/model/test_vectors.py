"""Models start from pretrained word vectors, or read them."""

import numpy as np
import pytest

from sentiment.model.build import build_model
from sentiment.model.layers import EMBEDDING
from sentiment.model.linear import inverse_document_frequencies, measure_vectors
from sentiment.model.saving import check_loads
from sentiment.model.training import make_deterministic
from tests.models import half_known_vectors, new_layout, small_section, splits, trained

pytestmark = pytest.mark.slow


@pytest.fixture
def vectors() -> np.ndarray:
    return half_known_vectors()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_an_embedding_starts_from_the_vectors_and_keeps_them_if_they_are_frozen(
    vectors: np.ndarray, is_frozen: bool
) -> None:
    params = small_section(freeze_vectors=is_frozen)
    make_deterministic(1)
    (weights,) = build_model(params, new_layout(), 2, vectors).get_layer(EMBEDDING).get_weights()
    np.testing.assert_array_equal(weights[1::2], vectors[1::2])
    assert weights[::2].any()
    (after,) = (
        trained(vectors, cell="simple_rnn", freeze_vectors=is_frozen)
        .model.get_layer(EMBEDDING)
        .get_weights()
    )
    assert np.array_equal(after[1::2], vectors[1::2]) == is_frozen


def test_the_vectors_of_a_linear_model_are_a_weighted_mean_and_the_maximum_over_known_words(
    vectors: np.ndarray,
) -> None:
    train_split, _ = splits()
    known = measure_vectors(vectors, train_split)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(known.table, unit, atol=1e-6)
    has_vector = unit.any(axis=1)
    assert (known.weights[:, 0] > 0).tolist() == has_vector.tolist()
    for tokens, pooled in zip(train_split.x[:20], known.pooled, strict=False):
        words = tokens[has_vector[tokens]]
        expected = np.zeros(6)
        if len(words):
            mean = np.average(unit[words], axis=0, weights=known.weights[words, 0])
            expected = np.concatenate([mean, unit[words].max(axis=0)])
        np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_a_word_weighs_less_if_more_reviews_have_it() -> None:
    tokens = np.array([[0, 1, 2, 2], [0, 1, 3, 3], [0, 0, 1, 1]])
    weights = inverse_document_frequencies(tokens, 5)
    np.testing.assert_allclose(np.exp(weights), [4 / 3, 4 / 3, 4, 4, 4])


def test_a_linear_model_learns_from_vectors_beside_words(vectors: np.ndarray) -> None:
    training = trained(vectors, model="linear", epochs=1)
    kernel, _ = training.model.get_layer("probability").get_weights()
    assert kernel.shape == (7, 1)
    assert kernel[1:].all()
    check_loads(training.model, splits()[1].x)
