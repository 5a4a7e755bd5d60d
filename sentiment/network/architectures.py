"""The architectures. `sentiment.network.model` adds a logistic unit to each.

An architecture is a function of the section `train`, of the inputs of the model and of token ids,
shape (batch, length), int32. It returns features of each review, shape (batch, n), float32.

Recurrent networks and transformers read the vectors of a review's words, shape (batch, length,
features), float32, with their mask, shape (batch, length), bool, or None if padding is not masked.
They return a state for each word, shape (batch, length, n), float32. With pooling `last`, they may
return only the last state, shape (batch, n).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.network.inputs import Inputs
from sentiment.network.linear import linear_features
from sentiment.network.params import TrainParams
from sentiment.network.sequence import sequence_features

if TYPE_CHECKING:
    import keras

WITH_CUDNN = ("lstm", "gru")
LONGEST_WAVE = 10_000  # positions in the longest period of the sinusoids, divided by 2π


def recurrent(params: TrainParams, vectors: Any, mask: Any) -> Any:
    """Return the states of the top recurrent layer."""
    states = vectors
    for number in range(1, params.layers + 1):
        layer = _recurrent_layer(params, number)
        states = layer(states, mask=mask)
        if params.cell == "lstm":
            _set_forget_biases(layer, params.forget_bias)
    return states


def _recurrent_layer(params: TrainParams, number: int) -> "keras.layers.Layer":
    """Return the recurrent layer of this number, counted from the bottom."""
    import keras

    cells = {
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
        "simple_rnn": keras.layers.SimpleRNN,
    }
    suffix = _suffix(number)
    # cuDNN supports neither padding before a review nor segments of padding alone.
    kernels = {"use_cudnn": False} if params.mask_padding and params.cell in WITH_CUDNN else {}
    layer = cells[params.cell](
        params.units,
        **kernels,
        return_sequences=params.pooling != "last" or number < params.layers,
        dropout=params.dropout.input,
        recurrent_dropout=params.dropout.recurrent,
        recurrent_initializer=params.recurrent_initializer,
        name=params.cell + suffix,
    )
    if not params.bidirectional:
        return layer
    return keras.layers.Bidirectional(layer, name=f"bidirectional{suffix}")


def recurrent_layers(model: "keras.Model") -> "list[keras.layers.RNN]":
    """Return the recurrent layers of a model. Forward layers come before backward ones."""
    import keras

    layers = [layer for outer in model.layers for layer in directions(outer)]
    return [layer for layer in layers if isinstance(layer, keras.layers.RNN)]


def directions(layer: "keras.layers.Layer") -> "list[keras.layers.RNN]":
    """Return the forward and the backward layer of a bidirectional layer, or the layer itself."""
    import keras

    is_bidirectional = isinstance(layer, keras.layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if is_bidirectional else [layer]


def _set_forget_biases(layer: "keras.layers.Layer", bias: float) -> None:
    """Set the second of the four parts of the bias, which Keras orders i, f, c, o."""
    for lstm in directions(layer):
        values = lstm.cell.bias.numpy().copy()
        values[lstm.units : 2 * lstm.units] = bias
        lstm.cell.bias.assign(values)


def transformer(params: TrainParams, vectors: Any, mask: Any) -> Any:
    """Return the states of the top encoder block.

    Positions count words, so that they do not depend on padding. Dropout is applied where the paper
    applies it: to what each part of a block adds to its input.

    Source: Vaswani et al. 2017, *Attention Is All You Need*.
    """
    import keras

    length, width = vectors.shape[1:]
    positions = keras.layers.Embedding(
        length + 1, width, weights=_sinusoids(length + 1, width), trainable=False, name="positions"
    )
    words_so_far = keras.ops.cumsum(keras.ops.cast(mask, "int32"), axis=1)
    states = vectors * math.sqrt(width) + positions(words_so_far)
    for number in range(1, params.layers + 1):
        states = _encoder_block(params, number, states, mask)
    return states


def _sinusoids(positions: int, width: int) -> NDArray[np.float32]:
    """Return the vectors of positions, shape (positions, width)."""
    angles = np.arange(positions)[:, None] / LONGEST_WAVE ** (np.arange(0, width, 2) / width)
    return np.hstack([np.sin(angles), np.cos(angles)])[:, :width].astype(np.float32)


def _encoder_block(params: TrainParams, number: int, states: Any, mask: Any) -> Any:
    """Apply self-attention and a feed-forward part. Each is added to its input and normalized."""
    import keras

    width = states.shape[2]
    suffix = _suffix(number)

    def add(states: Any, part: Any) -> Any:
        dropped = keras.layers.Dropout(params.dropout.input)(part)
        return keras.layers.LayerNormalization()(states + dropped)

    attention = keras.layers.MultiHeadAttention(
        params.heads, width // params.heads, name=f"attention{suffix}"
    )
    hidden = keras.layers.Dense(params.units, activation="relu", name=f"hidden{suffix}")
    output = keras.layers.Dense(width, name=f"feed_forward{suffix}")
    states = add(states, attention(states, states, value_mask=mask))
    return add(states, output(hidden(states)))


def _suffix(number: int) -> str:
    """Return what distinguishes the names of all layers but the first."""
    return f"_{number}" if number > 1 else ""


# The keys are the values of `train.architecture`.
ARCHITECTURES: Mapping[str, Callable[[TrainParams, Inputs, Any], Any]] = {
    "recurrent": partial(sequence_features, recurrent),
    "transformer": partial(sequence_features, transformer),
    "linear": linear_features,
}
