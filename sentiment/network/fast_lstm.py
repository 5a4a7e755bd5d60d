"""Train an LSTM faster on a CPU than Keras' layer does, with the same weights.

`FastLSTM` computes what `keras.layers.LSTM` computes, in another order. Keras' gates are i (input),
f (forget), g (cell) and o (output), in this order:

    z_t = x_t W + h_{t-1} U + b, the gates before their activation
    c_t = f c_{t-1} + i g                    i, f, o = σ(z), g = tanh(z)
    h_t = o tanh(c_t)

A step backward turns the gradients dh and dc after the step into those before it:

    dc_t = dc + dh ∂h_t/∂c_t
    dz_t = [dc_t ∂c_t/∂z_i, dc_t ∂c_t/∂z_f, dc_t ∂c_t/∂z_g, dh ∂h_t/∂z_o]
    dh_{t-1} = dz_t Uᵀ
    dc_{t-1} = dc_t ∂c_t/∂c_{t-1}

It is faster for four reasons:

1. XLA compiles the loop over the steps, forward and backward. Keras' loop calls each operation.
2. The two halves of a batch run in parallel, each on one core.
3. What needs no recurrence is computed for all steps at once, outside the loops: x W, and the
   gradients of x, W, U and b.
4. The forward loop also computes the partial derivatives ∂. Only the recurrence is left to the
   backward loop.

docs/models.md has measurements.

Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf


# `Bidirectional` copies a layer by its config, and finds the class by its registered name.
@keras.saving.register_keras_serializable("sentiment")
class FastLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """Compute Keras' LSTM with another loop, for float32 on a CPU.

    With other activations, without a bias, with recurrent dropout, unrolled or in another dtype,
    the layer uses Keras' own loop. One result differs: if the first step is masked, its output is
    the initial state, whereas Keras returns 0. Both are 0 unless the caller gives an initial state.
    """

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Return the last output, the outputs that the layer returns, and the last state.

        Keras calls this method between the preparation of the state and the cast of the results. It
        is not documented. requirements.txt pins the release of Keras.
        """
        options = (
            self.activation,
            self.recurrent_activation,
            self.use_bias,
            self.recurrent_dropout,
            self.unroll,
            self.compute_dtype,
        )
        usual = (keras.activations.tanh, keras.activations.sigmoid, True, 0, False, "float32")
        if options != usual:
            return super().inner_loop(sequences, initial_state, mask, training)  # type: ignore[no-any-return]
        if training and self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, None]
        float_mask = None if mask is None else tf.cast(mask, tf.float32)
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            float_mask = None if float_mask is None else tf.reverse(float_mask, [1])
        # The halves do not depend on each other, so TensorFlow runs them at once. One loop of XLA
        # keeps one core busy. With a single review, one half is empty.
        middle = tf.shape(sequences)[0] // 2
        halves = [
            self._run_half(
                sequences[rows],
                State(initial_state[0][rows], initial_state[1][rows]),
                None if float_mask is None else float_mask[rows],
            )
            for rows in (slice(None, middle), slice(middle, None))
        ]
        outputs = tf.concat([half[0] for half in halves], 0)
        h = tf.concat([half[1].h for half in halves], 0)
        c = tf.concat([half[1].c for half in halves], 0)
        if float_mask is not None and self.return_sequences and self.zero_output_for_mask:
            outputs *= float_mask[:, :, None]
        return h, outputs, [h, c]

    def _run_half(
        self, x: tf.Tensor, start: "State", mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, "State"]:
        """Run half a batch.

        Args:
            x: the input, shape (rows, steps, features).
            start: the state before the first step.
            mask: 1 for each word, 0 for masked padding, shape (rows, steps). None: no padding.

        Returns:
            The output after each step, shape (rows, steps, units), or only after the last one,
            shape (rows, units); and the state after the last step.
        """
        step_mask = None if mask is None else tf.transpose(mask)[:, :, None]

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def loop(
            xw: tf.Tensor, h: tf.Tensor, c: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor
        ) -> Any:
            # An eager tape would record the steps as well, and XLA cannot differentiate them.
            arguments = [tf.stop_gradient(each) for each in (xw, h, c, recurrent, bias)]
            return _loop(self.return_sequences, step_mask, *arguments)

        # `custom_gradient` takes tensors as arguments. It would treat variables in another way.
        outputs, h, c = loop(
            tf.tensordot(_swap(x), tf.convert_to_tensor(self.cell.kernel), 1),
            start.h,
            start.c,
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            tf.convert_to_tensor(self.cell.bias),
        )
        return _swap(outputs) if self.return_sequences else outputs, State(h, c)


class State(NamedTuple):
    """The hidden state h and the cell state c, or their gradients, each of shape (rows, units)."""

    h: Any
    c: Any


class Derivatives(NamedTuple):
    """The partial derivatives of all steps, see the equations above.

    Attributes:
        by_z: ∂c_t/∂z_i, ∂c_t/∂z_f, ∂c_t/∂z_g and ∂h_t/∂z_o, shape (steps, rows, 4 · units).
        dh_dc: ∂h_t/∂c_t, shape (steps, rows, units).
        dc_dc: ∂c_t/∂c_{t-1}, shape (steps, rows, units).
    """

    by_z: Any
    dh_dc: Any
    dc_dc: Any


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Swap the axes of rows and steps."""
    return tf.transpose(values, (1, 0, 2))


def _loop(
    return_sequences: bool,
    mask: tf.Tensor | None,
    xw: tf.Tensor,
    h: tf.Tensor,
    c: tf.Tensor,
    recurrent: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[Any, Any]:
    """Run the steps of half a batch.

    Args:
        return_sequences: return the output after each step, not only after the last one.
        mask: 1 for each word, 0 for masked padding, shape (steps, rows, 1). None: no padding.
        xw: x W of all steps, shape (steps, rows, 4 · units).
        h: the hidden state before the first step, shape (rows, units).
        c: the cell state before the first step, shape (rows, units).
        recurrent: U, shape (units, 4 · units).
        bias: b, shape (4 · units,).

    Returns:
        The outputs with h and c after the last step; and a function that takes the gradients of
        these three, and returns the gradients of `xw`, `h`, `c`, `recurrent` and `bias`.
    """
    outputs, last_c, derivatives = _forward(xw, State(h, c), recurrent, bias, mask)

    def gradient(d_outputs: tf.Tensor, dh: tf.Tensor, dc: tf.Tensor) -> list[tf.Tensor]:
        d_steps = d_outputs if return_sequences else None
        d_last = State(dh if return_sequences else dh + d_outputs, dc)
        dz, d_start = _backward(d_steps, d_last, recurrent, derivatives, mask)
        dz_rows = tf.reshape(dz, (-1, bias.shape[0]))
        previous = tf.reshape(outputs[:-1], (-1, h.shape[1]))
        d_recurrent = tf.matmul(previous, dz_rows, transpose_a=True)
        # The sum over all rows, as a product with ones: tf.reduce_sum takes several times as long.
        d_bias = tf.matmul(tf.ones((1, tf.shape(dz_rows)[0])), dz_rows)[0]
        return [dz, d_start.h, d_start.c, d_recurrent, d_bias]

    return (outputs[1:] if return_sequences else outputs[-1], outputs[-1], last_c), gradient


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(
    xw: tf.Tensor,
    start: State,
    recurrent: tf.Tensor,
    bias: tf.Tensor,
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, Derivatives]:
    """Run all steps forward. See `_loop` for the arguments.

    Returns:
        h before the first step and after each, shape (steps + 1, rows, units); c after the last
        step; and the partial derivatives.
    """
    steps = tf.shape(xw)[0]

    def step(t: tf.Tensor, previous: State, outputs: tf.TensorArray, arrays: Derivatives) -> Any:
        z = tf.split(xw[t] + previous.h @ recurrent + bias, 4, 1)
        i = tf.sigmoid(z[0])
        f = tf.sigmoid(z[1])
        g = tf.tanh(z[2])
        o = tf.sigmoid(z[3])
        c = f * previous.c + i * g
        tanh_c = tf.tanh(c)
        h = o * tanh_c
        by_z = tf.concat(
            [g * i * (1 - i), previous.c * f * (1 - f), i * (1 - g**2), tanh_c * o * (1 - o)], 1
        )
        derivatives = Derivatives(by_z, dh_dc=o * (1 - tanh_c**2), dc_dc=f)
        if mask is not None:  # masked padding keeps the state
            is_word = mask[t]
            is_padding = 1 - is_word
            h = is_word * h + is_padding * previous.h
            c = is_word * c + is_padding * previous.c
            derivatives = Derivatives(
                is_word * derivatives.by_z,
                dh_dc=is_word * derivatives.dh_dc,
                dc_dc=is_word * f + is_padding,
            )
        written = (array.write(t, now) for array, now in zip(arrays, derivatives, strict=True))
        return t + 1, State(h, c), outputs.write(t + 1, h), Derivatives(*written)

    outputs = _array(steps + 1, start.h).write(0, start.h)
    arrays = Derivatives(_array(steps, xw[0]), _array(steps, start.h), _array(steps, start.h))
    loop_vars = (0, start, outputs, arrays)
    _, last, outputs, arrays = tf.while_loop(lambda t, *_: t < steps, step, loop_vars)
    return outputs.stack(), last.c, Derivatives(*(array.stack() for array in arrays))


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(
    d_steps: tf.Tensor | None,
    d_last: State,
    recurrent: tf.Tensor,
    derivatives: Derivatives,
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, State]:
    """Run all steps backward.

    Args:
        d_steps: gradients of the output after each step, shape (steps, rows, units), if all of
            them were returned.
        d_last: gradients of the state after the last step.
        recurrent: U.
        derivatives: the partial derivatives.
        mask: see `_loop`.

    Returns:
        dz of all steps, shape (steps, rows, 4 · units), and the gradients of the state before the
        first step.
    """
    transposed = tf.transpose(recurrent)  # once: in the loop, the product takes twice as long

    def step(t: tf.Tensor, after: State, arrays: tf.TensorArray) -> Any:
        dh = after.h if d_steps is None else after.h + d_steps[t]
        dc = after.c + dh * derivatives.dh_dc[t]
        # i, f and g act through c, and o acts on h.
        dz = tf.concat([dc, dc, dc, dh], 1) * derivatives.by_z[t]
        dh_previous = dz @ transposed
        if mask is not None:  # masked padding passes the gradient on
            dh_previous += (1 - mask[t]) * dh
        previous = State(dh_previous, dc * derivatives.dc_dc[t])
        return t - 1, previous, arrays.write(t, dz)

    steps = tf.shape(derivatives.by_z)[0]
    loop_vars = (steps - 1, d_last, _array(steps, derivatives.by_z[0]))
    _, d_start, arrays = tf.while_loop(lambda t, *_: t >= 0, step, loop_vars)
    return arrays.stack(), d_start


def _array(steps: tf.Tensor, like: tf.Tensor) -> tf.TensorArray:
    """Return an array of tensors of the same shape, one for each step."""
    return tf.TensorArray(tf.float32, steps, element_shape=like.shape)
