"""Answer with the first recurrent layer's kernel folded into the embedding.

That layer multiplies the vector of each word with its kernel. There are no more such products than
words in the vocabulary: they are computed once, and looked up in place of the vectors. The rest of
the model is computed by Keras.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from . import layers
from .backend import load_keras

if TYPE_CHECKING:
    import keras

Tensors = Sequence[tf.Tensor]


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        step: the next state from what the gates get from the word and from the state, both of shape
            (batch, gates · units), and the state, each part of shape (batch, units).
        parts: how many parts its state has; the first is its output.
        split: whether the step splits what comes from the word before anything else. XLA makes slow
            loops of a slice of a slice: the loop then carries what comes from the next word.
    """

    step: Callable[[tf.Tensor, tf.Tensor, Tensors], Tensors]
    parts: int
    split: bool = False


class Table(NamedTuple):
    """What one recurrent layer computes with, float32.

    Attributes:
        words: what the gates get from each word, shape (vocabulary, gates · units).
        others: the kernel of what else is read with a word, shape (features, gates · units).
        recurrent: the kernel of the state, shape (units, gates · units).
        bias: of the state's product, shape (gates · units,).
    """

    words: tf.Tensor
    others: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


class Rows(NamedTuple):
    """What is read, by segments or entire reviews.

    Attributes:
        tokens: shape (rows, steps), int32.
        mask: false for a token that is skipped, shape (rows, steps); None for none.
        others: what else is read with each word, shape (rows, steps, features); None for nothing.
    """

    tokens: tf.Tensor
    mask: tf.Tensor | None
    others: tf.Tensor | None

    def apply(self, change: Callable[[tf.Tensor], tf.Tensor]) -> "Rows":
        """The same change of all that is there."""
        return Rows(*(None if each is None else change(each) for each in self))


def folded(model: "keras.Model") -> Callable[[tf.Tensor], tf.Tensor]:
    """The model, with its weights as they are now, as a function for `tf.function`.

    Args:
        model: see `sentiment.network.model.build_model`.

    Returns:
        A function from token ids, shape (batch, length), int32, to probabilities, shape (batch, 1).
    """
    keras, first = load_keras(), layers.first_recurrent(model)
    embedding, directions = model.get_layer("embedding"), layers.directions(first)
    tables = [_table(embedding.embeddings, layer.cell) for layer in directions]
    others = _others(model)
    rest = keras.Model([model.input, first.output], model.output)
    steps = layers.segment(first)

    def answer(tokens: tf.Tensor) -> tf.Tensor:
        beside = others(tokens, training=False) if others else None
        rows = Rows(tokens, embedding.compute_mask(tokens), beside)
        rows = rows.apply(lambda each: tf.reshape(each, (-1, steps, *each.shape[2:])))
        read = [_states(*each, rows) for each in zip(directions, tables, strict=True)]
        return rest([tokens, tf.concat(read, -1)], training=False)

    return answer


def _others(model: "keras.Model") -> "keras.Model | None":
    """The part of a model that gives what else is read with each word."""
    names = {layer.name for layer in model.layers}
    if "bigrams" not in names:
        return None
    return load_keras().Model(model.input, model.get_layer("bigrams").output)


def _table(vectors: tf.Tensor, cell: "keras.layers.Layer") -> Table:
    """Fold a layer's kernel into the vectors. Of the cells here only GRU has two biases."""
    own, *more = tf.unstack(tf.reshape(cell.bias, (-1, cell.kernel.shape[1])))
    kernel, recurrent = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel))
    features = vectors.shape[1]
    bias = more[0] if more else tf.zeros_like(own)
    return Table(vectors @ kernel[:features] + own, kernel[features:], recurrent, bias)


def _states(layer: "keras.layers.RNN", table: Table, rows: Rows) -> tf.Tensor:
    """The layer's output after each token, or after the last, as it gives them to a model."""
    if layer.go_backwards:
        rows = rows.apply(lambda each: tf.reverse(each, [1]))
    every, last = _loop(CELLS[type(layer).__name__], table, rows.apply(_swap))
    if not layer.return_sequences:
        return last
    states = _swap(every)
    return tf.reverse(states, [1]) if layer.go_backwards else states


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Batch first to time first, or back."""
    return tf.transpose(values, (1, 0, *range(2, values.shape.rank)))


def _loop(cell: Cell, table: Table, rows: Rows) -> tuple[tf.Tensor, tf.Tensor]:
    """The output after each token, and after the last; all time first."""
    steps, batch = rows.tokens.shape
    values = tf.gather(table.words, rows.tokens)
    if rows.others is not None:
        values += rows.others @ table.others
    start = (tf.zeros((batch, table.recurrent.shape[0])),) * cell.parts

    def step(t: tf.Tensor, value: tf.Tensor, state: Tensors, outputs: tf.TensorArray) -> Any:
        value = value if cell.split else values[t]
        after = cell.step(value, state[0] @ table.recurrent + table.bias, state)
        if rows.mask is not None:
            read = rows.mask[t][:, None]
            after = tuple(tf.where(read, *each) for each in zip(after, state, strict=True))
        following = values[tf.minimum(t + 1, steps - 1)] if cell.split else value
        return t + 1, following, after, outputs.write(t, after[0])

    outputs = tf.TensorArray(tf.float32, steps, element_shape=start[0].shape)
    begin = (0, values[0], start, outputs)
    *_, last, outputs = tf.while_loop(lambda t, *_: t < steps, step, begin, parallel_iterations=1)
    return outputs.stack(), last[0]


def _lstm(value: tf.Tensor, product: tf.Tensor, state: Tensors) -> Tensors:
    """tanh(v) = 2 σ(2v) - 1: with the candidate's columns doubled, one σ serves all four."""
    doubled = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), state[0].shape[1])
    i, f, candidate, o = tf.split(tf.sigmoid((value + product) * doubled), 4, 1)
    c = f * state[1] + i * (2 * candidate - 1)
    return o * tf.tanh(c), c


def _gru(value: tf.Tensor, product: tf.Tensor, state: Tensors) -> Tensors:
    (z, r, candidate), (h_z, h_r, h_candidate) = tf.split(value, 3, 1), tf.split(product, 3, 1)
    z, r = tf.sigmoid(z + h_z), tf.sigmoid(r + h_r)
    return (z * state[0] + (1 - z) * tf.tanh(candidate + r * h_candidate),)


def _simple_rnn(value: tf.Tensor, product: tf.Tensor, state: Tensors) -> Tensors:  # noqa: ARG001
    return (tf.tanh(value + product),)


CELLS = {
    "LSTM": Cell(_lstm, 2),
    "GRU": Cell(_gru, 1, split=True),
    "SimpleRNN": Cell(_simple_rnn, 1),
}
