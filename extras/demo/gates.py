"""What an LSTM's gates and its cell do at each step of a row of token ids."""

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
    """One step of an LSTM: its gates, means over the units from 0 to 1, and its cell state's norm.

    The norm is the Euclidean one.
    """

    forget: float
    input: float
    output: float
    cell: float


def gates_by_word(reader: TextClassifier) -> Callable[[Sequence[Word]], list[Gates]] | None:
    """Return what tells the gates at each word of a text that is read, or None without an LSTM."""
    if not hasattr(reader, "columns"):
        return None
    network = cast(KerasClassifier, reader)  # its class is that of the code that the model brought
    at_tokens = gates_by_token(network.predictor.model)
    if at_tokens is None:
        return None

    def gates(words: Sequence[Word]) -> list[Gates]:
        steps = at_tokens(pad_ranks([[word.rank for word in words]], network.layout)[0])
        return [steps[column] for column in network.columns(len(words))[0]]

    return gates


def gates_by_token(model: "keras.Model") -> Callable[[NDArray[np.integer]], list[Gates]] | None:
    """What tells the gates of a model's first LSTM; of two directions, those of the forward one.

    Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000.

    Returns:
        From a row of token ids, shape (length,), to the gates at each of them; those of a skipped
        one, where the model masks padding, say nothing. None for a model without an LSTM.
    """
    import keras

    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    first = next((layer for layer in model.layers if isinstance(layer, kinds)), None)
    lstm = directions(first)[0] if first else None
    if first is None or not isinstance(lstm, keras.layers.LSTM):
        return None
    vectors, *masks = keras.tree.flatten(first.input)
    read = keras.layers.RNN(_recording_cell(lstm.cell), return_sequences=True)
    steps = keras.Model(model.input, read(vectors, mask=masks[0] if masks else None))

    def gates(row: NDArray[np.integer]) -> list[Gates]:
        numbers = steps.predict_on_batch(row[None].astype(np.int32))
        return [Gates(*step) for step in numbers.reshape(-1, len(Gates._fields)).tolist()]

    return gates


def _recording_cell(cell: "keras.layers.LSTMCell") -> "keras.layers.Layer":
    """A cell that takes the same steps, and whose output is what `Gates` has of each."""
    import keras
    from keras import ops

    class Watched(keras.layers.Layer):  # type: ignore[misc]
        state_size = cell.state_size

        def call(self, inputs: Any, states: Any) -> Any:
            values = inputs @ cell.kernel + states[0] @ cell.recurrent_kernel + cell.bias
            parts = ops.split(ops.sigmoid(values), 4, axis=1)
            i, f, _, o = (ops.mean(part, axis=1) for part in parts)
            _, states = cell(inputs, states)
            return ops.stack([f, i, o, ops.norm(states[1], axis=1)], axis=1), states

    return Watched()
