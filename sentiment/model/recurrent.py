"""The architecture `recurrent`: an embedding, recurrent layers and pooling, from Keras' layers."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.layers import EMBEDDING
from sentiment.params import RecurrentParams

if TYPE_CHECKING:
    import keras

FLOAT32_MIN = float(np.finfo(np.float32).min)


def recurrent_features(
    params: RecurrentParams, num_words: int, tokens: Any, vectors: NDArray[np.float32] | None
) -> Any:
    """Return the pooled states of the last recurrent layer.

    Args:
        num_words: number of token ids.
        tokens: token ids, shape (batch, length).
        vectors: the word vector of each token id, from which the embedding starts, or None.

    Returns:
        Shape (batch, units), or twice as many columns if the layers are bidirectional; float32.
    """
    import keras

    embedding = keras.layers.Embedding(
        num_words,
        params.embedding_units if vectors is None else vectors.shape[1],
        mask_zero=params.mask_padding,
        trainable=vectors is None or not params.freeze_vectors,
        name=EMBEDDING,
    )
    mask = embedding.compute_mask(tokens)
    states = embedding(tokens)
    if vectors is not None:
        start_from_vectors(embedding, vectors)
    if params.dropout.embedding:
        states = keras.layers.SpatialDropout1D(params.dropout.embedding)(states)
    for number in range(1, params.layers + 1):
        states = recurrent_layer(params, number)(states, mask=mask)
    features = _pool(states, mask, params.pooling)
    if params.dropout.head:
        features = keras.layers.Dropout(params.dropout.head)(features)
    return features


def start_from_vectors(embedding: "keras.layers.Embedding", vectors: NDArray[np.float32]) -> None:
    """Give an embedding pretrained vectors. A word without one keeps its random weights.

    Args:
        vectors: the word vector of each token id, shape (num_words, size). Zeros: it has none.
    """
    (weights,) = embedding.get_weights()
    has_vector = vectors.any(axis=1)
    weights[has_vector] = vectors[has_vector]
    embedding.set_weights([weights])


def recurrent_layer(params: RecurrentParams, number: int) -> "keras.layers.Layer":
    """Return the recurrent layer of this number, counted from the bottom."""
    import keras

    arguments: dict[str, Any] = {
        "return_sequences": params.pooling != "last" or number < params.layers,
        "dropout": params.dropout.input,
        "recurrent_dropout": params.dropout.recurrent,
        "name": params.cell if number == 1 else f"{params.cell}_{number}",
    }
    if params.mask_padding and params.cell != "simple_rnn":
        arguments["use_cudnn"] = False  # cuDNN does not support padding before a review
    layer: keras.layers.RNN
    if params.cell == "lstm":
        layer = keras.layers.LSTM(params.units, **arguments)
    elif params.cell == "gru":
        layer = keras.layers.GRU(params.units, **arguments)
    else:
        layer = keras.layers.SimpleRNN(params.units, **arguments)
    if not params.bidirectional:
        return layer
    name = "bidirectional" if number == 1 else f"bidirectional_{number}"
    return keras.layers.Bidirectional(layer, name=name)


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    """Reduce states to features.

    Args:
        states: the states of all words, shape (batch, length, n). With pooling `last`, the last
            state, shape (batch, n).
        mask: whether each token is a word, shape (batch, length), or None.
        pooling: "max", "mean" or "last".

    Returns:
        Shape (batch, n).
    """
    import keras

    if pooling == "max":
        if mask is not None:  # Keras' GlobalMaxPooling1D ignores masks
            states = keras.ops.where(keras.ops.expand_dims(mask, 2), states, FLOAT32_MIN)
        return keras.layers.GlobalMaxPooling1D(name="max")(states)
    if pooling == "mean":
        return keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=mask)
    return states
