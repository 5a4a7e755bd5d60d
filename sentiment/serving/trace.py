"""What an LSTM's gates and its cell do at each step of a row of token ids."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import load_keras

if TYPE_CHECKING:
    import keras


class Gates(NamedTuple):
    """One step of an LSTM.

    Attributes:
        forget: the forget gate, mean over the units: how much of the cell is kept.
        input: the input gate, mean over the units: how much of the word is let in.
        output: the output gate, mean over the units: how much of the cell is shown.
        cell: the Euclidean norm of the cell state after the step.
    """

    forget: float
    input: float
    output: float
    cell: float


def gates(model: "keras.Model", row: NDArray[np.integer]) -> list[Gates] | None:
    """The gates of the model's LSTM, that of a bidirectional one which reads forward, at each step.

    Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000.

    Args:
        model: see `sentiment.network.model.build_model`.
        row: token ids, shape (length,).

    Returns:
        One for each token id; None for a model without an LSTM.
    """
    layer = _lstm(model)
    if layer is None:
        return None
    vectors = model.get_layer("embedding").get_weights()[0][row].astype(np.float64)
    return _run(vectors, *(weight.astype(np.float64) for weight in layer.get_weights()))


def _lstm(model: "keras.Model") -> "keras.layers.LSTM | None":
    layers = load_keras().layers
    for layer in model.layers:
        reader = layer.forward_layer if isinstance(layer, layers.Bidirectional) else layer
        if isinstance(reader, layers.LSTM):
            return reader
    return None


def _run(
    vectors: NDArray[np.float64],
    kernel: NDArray[np.float64],
    recurrent: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> list[Gates]:
    """The gates at each step; in Keras' weights their order is i, f, c, o."""
    h = c = np.zeros(len(recurrent))
    steps = []
    for projected in vectors @ kernel + bias:
        i, f, candidate, o = np.split(projected + h @ recurrent, 4)
        i, f, o = _sigmoid(i), _sigmoid(f), _sigmoid(o)
        c = f * c + i * np.tanh(candidate)
        h = o * np.tanh(c)
        norm = float(np.linalg.norm(c))
        steps.append(Gates(float(f.mean()), float(i.mean()), float(o.mean()), norm))
    return steps


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # exp would overflow
