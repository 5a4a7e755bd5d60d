"""Models start from pretrained word vectors, or read them."""

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.model.build import build_model
from sentiment.model.layers import EMBEDDING
from sentiment.model.linear import inverse_document_frequencies, measure_vectors
from sentiment.model.saving import check_loads
from sentiment.model.training import Training, make_deterministic
from tests.models import WORDS, pad_params, splits, train_params

pytestmark = pytest.mark.slow
CUSTOM = {"embedding_units": 4, "widths": [2, 3], "filters": 5, "dropout": 0.5}


@pytest.fixture
def vectors() -> np.ndarray:
    """Return vectors of size 3. Half of the token ids have none."""
    table = np.random.default_rng(1).normal(size=(WORDS, 3)).astype(np.float32)
    table[::2] = 0
    return table


def trained(vectors: np.ndarray | None, **params: object) -> Training:
    make_deterministic(1)
    training = Training(train_params(**params), pad_params(), 2, *splits(), vectors)
    training.fit(lambda: None)
    return training


@pytest.mark.parametrize("is_frozen", [False, True])
def test_an_embedding_starts_from_the_vectors_and_keeps_them_if_they_are_frozen(
    vectors: np.ndarray, is_frozen: bool
) -> None:
    params = train_params(freeze_vectors=is_frozen)
    make_deterministic(1)
    (weights,) = build_model(params, pad_params(), 2, vectors).get_layer(EMBEDDING).get_weights()
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
    training = trained(vectors, architecture="linear", epochs=1)
    kernel, _ = training.model.get_layer("probability").get_weights()
    assert kernel.shape == (7, 1)
    assert kernel[1:].all()
    check_loads(training.model, splits()[1].x)


def test_a_custom_network_is_trained_and_loads_without_its_code(vectors: np.ndarray) -> None:
    training = trained(vectors, architecture="custom", custom=CUSTOM, epochs=1)
    assert len(training.epoch_metrics) == training.params.epochs
    check_loads(training.model, splits()[1].x)


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ({**CUSTOM, "units": 3}, "unexpected keyword argument 'units'"),
        ({"widths": [2], "filters": 5, "dropout": 0.5}, "missing a required.*'embedding_units'"),
    ],
)
def test_arguments_that_the_function_does_not_have_are_one_message(
    custom: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trained(None, architecture="custom", custom=custom)


def test_a_network_with_a_layer_of_its_own_is_refused_by_name() -> None:
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        """A layer that is not registered at Keras."""

        def call(self, x: object) -> object:
            return x

    tokens = keras.Input((6,), dtype="int32")
    words = Own()(keras.layers.Embedding(WORDS, 4)(tokens))
    outputs = keras.layers.Dense(1, "sigmoid")(keras.layers.GlobalMaxPooling1D()(words))
    with pytest.raises(UserError, match=r"not Keras' own: Own\. Use only Keras' own layers"):
        check_loads(keras.Model(tokens, outputs), splits()[1].x)


def test_a_network_that_does_not_load_is_refused() -> None:
    import keras

    tokens = keras.Input((6,), dtype="int32")
    words = keras.layers.Lambda(lambda x: x)(keras.layers.Embedding(WORDS, 4)(tokens))
    outputs = keras.layers.Dense(1, "sigmoid")(keras.layers.GlobalMaxPooling1D()(words))
    with pytest.raises(
        UserError, match=r"The network cannot be used: .*Use only Keras' own layers"
    ):
        check_loads(keras.Model(tokens, outputs), splits()[1].x)
