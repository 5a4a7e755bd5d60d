"""Build the parts that recurrent networks and transformers share, from word vectors to pooling."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sentiment.network.inputs import Inputs
from sentiment.network.params import TrainParams
from sentiment.special_tokens import PADDING_TOKEN, UNKNOWN_TOKEN

FLOAT32_MIN = float(np.finfo(np.float32).min)
# From params, vectors, shape (batch, length, features), and their mask to states, see
# `sentiment.network.architectures`.
ReadVectors = Callable[[TrainParams, Any, Any], Any]


def sequence_features(read: ReadVectors, params: TrainParams, inputs: Inputs, tokens: Any) -> Any:
    """Return the pooled states of a network that reads the vectors of a review's words.

    Args:
        read: reads the vectors.
        params: the section `train`.
        inputs: the inputs of the model.
        tokens: token ids, shape (batch, length).

    Returns:
        Shape (batch, features), float32.
    """
    import keras

    embedding = keras.layers.Embedding(
        inputs.num_words, params.embedding_units, mask_zero=params.mask_padding, name="embedding"
    )
    words = _drop_words(tokens, params.dropout.word)
    mask = embedding.compute_mask(words)
    vectors = embedding(words)
    if params.dropout.embedding:
        vectors = keras.layers.SpatialDropout1D(params.dropout.embedding)(vectors)
    features = _pool(_states(read, params, vectors, mask), mask, params.pooling)
    if params.dropout.head:
        features = keras.layers.Dropout(params.dropout.head)(features)
    return features


def _drop_words(tokens: Any, rate: float) -> Any:
    """Make random words unknown during training.

    Source: Iyyer et al. 2015, *Deep Unordered Composition Rivals Syntactic Methods for Text
    Classification*.
    """
    import keras

    if not rate:
        return tokens
    ones = keras.ops.ones_like(tokens, dtype="float32")
    kept = keras.layers.Dropout(rate, name="word_dropout")(ones)
    is_padding = keras.ops.equal(tokens, PADDING_TOKEN)
    stays = keras.ops.logical_or(keras.ops.greater(kept, 0), is_padding)
    return keras.ops.where(stays, tokens, UNKNOWN_TOKEN)


def _states(read: ReadVectors, params: TrainParams, vectors: Any, mask: Any) -> Any:
    """Return the states of all words, or only the last one, see `ReadVectors`.

    Segments are read as rows of a larger batch. Their states are joined again above all layers.
    """
    from keras import ops

    length = vectors.shape[1]
    segment = params.segment_length or length
    if segment >= length:
        return read(params, vectors, mask)
    vectors = ops.reshape(vectors, (-1, segment, vectors.shape[2]))
    mask = None if mask is None else ops.reshape(mask, (-1, segment))
    states = read(params, vectors, mask)
    return ops.reshape(states, (-1, length, states.shape[2]))


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    """Reduce states, shape (batch, length, n), to features, shape (batch, features)."""
    import keras

    pooled = []
    if "max" in pooling:
        words = states
        if mask is not None:  # Keras' GlobalMaxPooling1D ignores masks
            words = keras.ops.where(keras.ops.expand_dims(mask, 2), states, FLOAT32_MIN)
        pooled.append(keras.layers.GlobalMaxPooling1D(name="max")(words))
    if "mean" in pooling:
        pooled.append(keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=mask))
    pooled = pooled or [_last(states, mask)]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="pooled")(pooled)


def _last(states: Any, mask: Any) -> Any:
    """Return the state of the last word, shape (batch, n)."""
    from keras import ops

    if len(states.shape) == 2:  # the architecture returned only the last state
        return states
    if mask is None:
        return states[:, -1]
    words_so_far = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    last = ops.argmax(words_so_far, axis=1)  # the first of equal counts, so never padding
    return ops.take_along_axis(states, last[:, None, None], axis=1)[:, 0]
