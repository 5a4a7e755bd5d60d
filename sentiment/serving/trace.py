"""What an LSTM's gates and its cell do at each step of a row of token ids."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import load_keras
from . import layers

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
    """The gates of the model's first LSTM, of a bidirectional one that which reads forward.

    Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000.

    Args:
        model: see `sentiment.network.model.build_model`.
        row: token ids, shape (length,).

    Returns:
        One for each token id; None for a model without an LSTM. Those of a skipped one, where the
        model masks padding, say nothing.
    """
    keras, first = load_keras(), layers.first_recurrent(model)
    reader, *_ = layers.directions(first)
    if not isinstance(reader, keras.layers.LSTM):
        return None
    read = keras.Model(model.input, layers.vectors(model))
    vectors = read(row[None].astype(np.int32), training=False)[0].numpy().astype(np.float64)
    weights = [weight.astype(np.float64) for weight in reader.get_weights()]
    skipped = model.get_layer("embedding").mask_zero & (row == 0)
    return _run(vectors, skipped, layers.segment(first), *weights)


def _run(
    vectors: NDArray[np.float64],
    skipped: NDArray[np.bool_],
    segment: int,
    kernel: NDArray[np.float64],
    recurrent: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> list[Gates]:
    """The gates at each step; in Keras' weights their order is i, f, c, o."""
    state = start = (np.zeros(len(recurrent)), np.zeros(len(recurrent)))
    steps = []
    for number, projected in enumerate(vectors @ kernel + bias):
        h, c = state if number % segment else start
        i, f, candidate, o = np.split(projected + h @ recurrent, 4)
        i, f, o = _sigmoid(i), _sigmoid(f), _sigmoid(o)
        new = f * c + i * np.tanh(candidate)
        state = (h, c) if skipped[number] else (o * np.tanh(new), new)
        norm = float(np.linalg.norm(state[1]))
        steps.append(Gates(float(f.mean()), float(i.mean()), float(o.mean()), norm))
    return steps


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # exp would overflow
