"""Compute an LSTM's gates and cell state at each step of a text."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sentiment.network.architectures import directions
from sentiment.serving.keras_classifier import KerasClassifier
from sentiment.serving.text_classifier import TextClassifier
from sentiment.tokenizer import Word, pad_ranks

if TYPE_CHECKING:
    import keras


class Gates(NamedTuple):
    """A step of an LSTM.

    Attributes:
        forget: mean of the forget gate over the units, from 0 to 1.
        input: mean of the input gate.
        output: mean of the output gate.
        cell: Euclidean norm of the cell state.
    """

    forget: float
    input: float
    output: float
    cell: float


def gates_by_word(classifier: TextClassifier) -> Callable[[Sequence[Word]], list[Gates]] | None:
    """Return a function from the words of a text to the gates at each word that the model reads.

    Return None if the model has no LSTM.
    """
    if not hasattr(classifier, "columns"):
        return None
    # `isinstance` fails, because the class comes from the code that the version brings.
    network = cast(KerasClassifier, classifier)
    at_tokens = gates_by_token(network.predictor.model)
    if at_tokens is None:
        return None

    def gates(words: Sequence[Word]) -> list[Gates]:
        steps = at_tokens(pad_ranks([[word.rank for word in words]], network.layout)[0])
        return [steps[column] for column in network.columns(len(words))[0]]

    return gates


def gates_by_token(model: "keras.Model") -> Callable[[NDArray[np.integer]], list[Gates]] | None:
    """Return a function that computes the gates of a model's first LSTM, in forward direction.

    Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000.

    Returns:
        A function from a row of token ids, shape (length,), to the gates at each of them. Gates at
        masked padding have no meaning. None for a model without an LSTM.
    """
    import keras

    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    first = next((layer for layer in model.layers if isinstance(layer, kinds)), None)
    lstm = directions(first)[0] if first else None
    if first is None or not isinstance(lstm, keras.layers.LSTM):
        return None
    vectors, *masks = keras.tree.flatten(first.input)
    record = keras.layers.RNN(_recording_cell(lstm.cell), return_sequences=True)
    steps = keras.Model(model.input, record(vectors, mask=masks[0] if masks else None))

    def gates(row: NDArray[np.integer]) -> list[Gates]:
        numbers = steps.predict_on_batch(row[None].astype(np.int32))
        return [Gates(*step) for step in numbers.reshape(-1, len(Gates._fields)).tolist()]

    return gates


def _recording_cell(cell: "keras.layers.LSTMCell") -> "keras.layers.Layer":
    """Return a cell that takes the same steps, with the values of `Gates` as its output."""
    import keras
    from keras import ops

    class RecordingCell(keras.layers.Layer):  # type: ignore[misc]
        state_size = cell.state_size

        def call(self, inputs: Any, states: Any) -> Any:
            values = inputs @ cell.kernel + states[0] @ cell.recurrent_kernel + cell.bias
            parts = ops.split(ops.sigmoid(values), 4, axis=1)
            input_gate, forget_gate, _, output_gate = (ops.mean(part, axis=1) for part in parts)
            _, states = cell(inputs, states)
            cell_norm = ops.norm(states[1], axis=1)
            return ops.stack([forget_gate, input_gate, output_gate, cell_norm], axis=1), states

    return RecordingCell()
