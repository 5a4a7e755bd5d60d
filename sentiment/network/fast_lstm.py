"""An LSTM layer that trains faster on a CPU than Keras' own, with the same weights.

`FastLSTM` computes what `keras.layers.LSTM` computes, in another order:

1. XLA compiles the loop over the steps, forward and backward. Keras' runs operation by operation.
2. The two halves of a batch run in parallel, each on one core.
3. What needs no recurrence is computed for all steps at once, outside the loops: the product of the
   inputs and the kernel, and the gradients of inputs, kernel, recurrent kernel and bias.
4. The forward loop also computes the derivatives. Only the recurrence is left to the backward loop.

docs/performance.md says how much each of them saves.

Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000. The gates are in Keras'
order: input, forget, cell, output.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sentiment")
class FastLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """Keras' LSTM with another loop, for float32 on a CPU.

    Other activations, recurrent dropout and a layer without a bias use Keras' own loop.
    """

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Return the last output, the outputs that the layer returns, and the last state."""
        options = (
            self.activation,
            self.recurrent_activation,
            self.use_bias,
            self.recurrent_dropout,
        )
        if options != (keras.activations.tanh, keras.activations.sigmoid, True, 0):
            return super().inner_loop(sequences, initial_state, mask, training)  # type: ignore[no-any-return]
        if training and self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, None]
        words = None if mask is None else tf.cast(mask, tf.float32)
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            words = None if words is None else tf.reverse(words, [1])
        middle = tf.shape(sequences)[0] // 2
        halves = [
            self._run(
                sequences[rows],
                State(*(values[rows] for values in initial_state)),
                None if words is None else words[rows],
            )
            for rows in (slice(None, middle), slice(middle, None))
        ]
        outputs, *last = (tf.concat(parts, 0) for parts in zip(*halves, strict=True))
        if words is not None and self.return_sequences and self.zero_output_for_mask:
            outputs *= words[:, :, None]
        return last[0], outputs, last

    def _run(
        self, sequences: tf.Tensor, start: "State", words: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Run half a batch.

        Args:
            sequences: the input, shape (rows, steps, features).
            start: the state before the first step.
            words: 1 for each word, 0 for masked padding, shape (rows, steps). None: no mask.

        Returns:
            The output after each step, shape (rows, steps, units), or only after the last one,
            shape (rows, units); and the two parts of the last `State`.
        """
        inputs = tf.tensordot(_swap(sequences), tf.convert_to_tensor(self.cell.kernel), 1)
        word_steps = None if words is None else tf.transpose(words)[:, :, None]

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def loop(*variables: tf.Tensor) -> Any:
            return _loop(self.return_sequences, word_steps, *variables)

        outputs, h, c = loop(
            inputs,
            *start,
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            tf.convert_to_tensor(self.cell.bias),
        )
        return _swap(outputs) if self.return_sequences else outputs, h, c


class State(NamedTuple):
    """The output and the cell of an LSTM, or their gradients, each of shape (rows, units)."""

    h: tf.Tensor
    c: tf.Tensor


class Derivatives(NamedTuple):
    """The derivatives that a backward step multiplies by.

    Attributes:
        gates: of the cell by the input, forget and cell gate, and of the output by the output
            gate, all before their activation, shape (steps, rows, 4 · units).
        h_to_c: of the output by the cell, shape (steps, rows, units).
        c_to_c: of the cell by the cell before, shape (steps, rows, units).
    """

    gates: Any
    h_to_c: Any
    c_to_c: Any


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Swap the axes of rows and steps."""
    return tf.transpose(values, (1, 0, 2))


def _loop(sequences: bool, words: tf.Tensor | None, *variables: tf.Tensor) -> tuple[Any, Any]:
    """Run the steps of half a batch.

    Args:
        sequences: return the output after each step, not only after the last one.
        words: 1 for each word, 0 for masked padding, shape (steps, rows, 1). None: no mask.
        variables: what the gates get from the input, shape (steps, rows, 4 · units); `State` before
            the first step; the recurrent kernel, shape (units, 4 · units); the bias.

    Returns:
        A tuple, and a function from the gradients of its values to those of `variables`. The tuple
        has the outputs, and `State` after the last step.
    """
    # Otherwise an eager tape also records the steps, for which XLA has no gradient.
    inputs, h, c, recurrent, bias = (tf.stop_gradient(variable) for variable in variables)
    outputs, last_c, derivatives = _forward(inputs, State(h, c), recurrent, bias, words)

    def gradient(d_outputs: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor) -> list[tf.Tensor]:
        d_steps = d_outputs if sequences else None
        d_last = State(d_h if sequences else d_h + d_outputs, d_c)
        d_inputs, d_start = _backward(d_steps, d_last, recurrent, derivatives, words)
        d_gates = tf.reshape(d_inputs, (-1, bias.shape[0]))
        before = tf.reshape(outputs[:-1], (-1, h.shape[1]))
        d_recurrent = tf.matmul(before, d_gates, transpose_a=True)
        # The sum over all rows, as a product with ones: tf.reduce_sum takes several times as long.
        d_bias = tf.matmul(tf.ones((1, tf.shape(d_gates)[0])), d_gates)[0]
        return [d_inputs, *d_start, d_recurrent, d_bias]

    return (outputs[1:] if sequences else outputs[-1], outputs[-1], last_c), gradient


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(
    inputs: tf.Tensor,
    start: State,
    recurrent: tf.Tensor,
    bias: tf.Tensor,
    words: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, Derivatives]:
    """Run all steps forward. The arguments are those of `_loop`.

    Returns:
        The output before the first step and after each, shape (steps + 1, rows, units); the cell
        after the last step; and the derivatives.
    """
    steps = tf.shape(inputs)[0]

    def step(t: tf.Tensor, before: State, outputs: tf.TensorArray, arrays: Derivatives) -> Any:
        gates = tf.split(inputs[t] + before.h @ recurrent + bias, 4, 1)
        i = tf.sigmoid(gates[0])
        f = tf.sigmoid(gates[1])
        g = tf.tanh(gates[2])
        o = tf.sigmoid(gates[3])
        c = f * before.c + i * g
        tanh_c = tf.tanh(c)
        h = o * tanh_c
        by_gate = [g * i * (1 - i), before.c * f * (1 - f), i * (1 - g**2), tanh_c * o * (1 - o)]
        derivatives = Derivatives(tf.concat(by_gate, 1), h_to_c=o * (1 - tanh_c**2), c_to_c=f)
        if words is not None:  # masked padding keeps the state
            word = words[t]
            past = 1 - word
            h = word * h + past * before.h
            c = word * c + past * before.c
            derivatives = Derivatives(
                word * derivatives.gates,
                h_to_c=word * derivatives.h_to_c,
                c_to_c=word * f + past,
            )
        written = (array.write(t, now) for array, now in zip(arrays, derivatives, strict=True))
        return t + 1, State(h, c), outputs.write(t + 1, h), Derivatives(*written)

    outputs = _array(steps + 1, start.h).write(0, start.h)
    arrays = Derivatives(_array(steps, inputs[0]), _array(steps, start.h), _array(steps, start.h))
    begin = (0, start, outputs, arrays)
    _, last, outputs, arrays = tf.while_loop(lambda t, *_: t < steps, step, begin)
    return outputs.stack(), last.c, Derivatives(*(array.stack() for array in arrays))


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(
    d_steps: tf.Tensor | None,
    d_last: State,
    recurrent: tf.Tensor,
    derivatives: Derivatives,
    words: tf.Tensor | None,
) -> tuple[tf.Tensor, State]:
    """Run all steps backward.

    Args:
        d_steps: gradients of the output after each step, shape (steps, rows, units), if all of
            them were returned.
        d_last: gradients of the state after the last step.
        recurrent: the recurrent kernel.
        derivatives: see `_forward`.
        words: see `_loop`.

    Returns:
        The gradients of `inputs` and of the state before the first step.
    """
    transposed = tf.transpose(recurrent)  # once: in the loop, the product takes twice as long

    def step(t: tf.Tensor, after: State, d_inputs: tf.TensorArray) -> Any:
        d_h = after.h if d_steps is None else after.h + d_steps[t]
        d_c = after.c + d_h * derivatives.h_to_c[t]
        d_gates = tf.concat([d_c, d_c, d_c, d_h], 1) * derivatives.gates[t]
        d_before = d_gates @ transposed
        if words is not None:  # masked padding passes the gradient on
            d_before += (1 - words[t]) * d_h
        before = State(d_before, d_c * derivatives.c_to_c[t])
        return t - 1, before, d_inputs.write(t, d_gates)

    steps = tf.shape(derivatives.gates)[0]
    begin = (steps - 1, d_last, _array(steps, derivatives.gates[0]))
    _, d_start, d_inputs = tf.while_loop(lambda t, *_: t >= 0, step, begin)
    return d_inputs.stack(), d_start


def _array(steps: tf.Tensor, like: tf.Tensor) -> tf.TensorArray:
    """Return an array of tensors of the same shape, one for each step."""
    return tf.TensorArray(tf.float32, steps, element_shape=like.shape)
