"""Train Keras' LSTM faster on a CPU: the same layer, weights and mathematics by other means.

Two thirds of an LSTM's multiplications need no recurrence and become large matrix products before
and after the loop over time. What is left of the loop, forward and backward, is compiled by XLA,
and the two halves of a batch run side by side, each on one core. docs/speed.md has the
measurements, and optimisations that did not help.

`accelerate` changes how the instances of one model compute, never their classes or weights: what
is saved afterwards is plain Keras.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sentiment.network.model import lstm_layers
from sentiment.params import Train

if TYPE_CHECKING:
    import keras


class Weights(NamedTuple):
    """The variables of Keras' `LSTMCell`, columns by gate: input, forget, cell, output.

    Attributes:
        kernel: shape (features, 4 · units), float32.
        recurrent: shape (units, 4 · units), float32.
        bias: shape (4 · units,), float32.
    """

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


class Forward(NamedTuple):
    """What one half's backward pass needs of the forward one, time first, float32.

    Attributes:
        inputs: shape (steps · batch, features).
        gates: σ of all four gates, the cell gate's of the doubled value, shape
            (steps, batch, 4 · units).
        cells: cell states, the one before the first step included, shape
            (steps + 1, batch, units).
        states: hidden states, in the same way.
    """

    inputs: tf.Tensor
    gates: tf.Tensor
    cells: tf.Tensor
    states: tf.Tensor


def obstacle(params: Train) -> str | None:
    """Say why stock Keras has to train a model of these params, or None where it need not."""
    obstacles = {
        "train.accelerate is false": not params.accelerate,
        f"train.cell is {params.cell}": params.cell != "lstm",
        "train.dropout.recurrent is not 0": params.dropout.recurrent > 0,
        "train.mask_padding is true": params.mask_padding,
        "there is a GPU, which has kernels of its own": tf.config.list_physical_devices("GPU"),
    }
    return next((reason for reason, applies in obstacles.items() if applies), None)


def accelerate(model: "keras.Model") -> None:
    """Make the LSTM layers and the optimizer of a compiled model compute by the means of this file.

    The layers must be as `build_model` makes them where there is no `obstacle`.
    """
    for layer in lstm_layers(model):
        layer.inner_loop = partial(_inner_loop, layer)
    _compile_updates(model)


def _compile_updates(model: "keras.Model") -> None:
    """Let XLA make one pass over each variable, where Keras makes one for each operation."""
    apply, variables = model.optimizer.apply, model.trainable_variables
    model.optimizer.build(variables)
    compiled = tf.function(lambda gradients: apply(gradients, variables), jit_compile=True)
    model.optimizer.apply = lambda gradients, _: compiled(list(gradients))


def _inner_loop(
    layer: "keras.layers.LSTM",
    sequences: tf.Tensor,
    initial_state: list[tf.Tensor],
    mask: tf.Tensor | None,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Replace `keras.layers.LSTM.inner_loop`, which it calls where there is a mask."""
    if mask is not None:
        stock: tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]] = type(layer).inner_loop(
            layer, sequences, initial_state, mask, training
        )
        return stock
    if training and layer.dropout:
        sequences *= layer.cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
    if layer.go_backwards:
        sequences = tf.reverse(sequences, [1])
    cell = layer.cell
    weights = Weights(*map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel, cell.bias)))
    h, c = initial_state
    states, h, c = lstm(sequences, h, c, weights, layer.return_sequences)
    return h, states, [h, c]


def lstm(
    x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, weights: Weights, sequences: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Run an LSTM over a batch (Hochreiter and Schmidhuber 1997; forget gate: Gers 2000).

    Args:
        x: shape (batch, steps, features), float32.
        h: hidden state before the first step, shape (batch, units), float32.
        c: cell state before the first step, shape (batch, units), float32.
        weights: see there.
        sequences: whether to return the hidden state of every step.

    Returns:
        Hidden states, shape (batch, steps, units), or with `sequences` false the last one alone;
        the last hidden state and the last cell state, shape (batch, units) each.
    """

    def batch(*given: Any) -> Any:
        # or an eager tape records the steps as well, for which XLA has no gradient
        x, h, c, *weights = map(tf.stop_gradient, given)
        halves = _halves(x)
        done = [_forward(x[half], h[half], c[half], Weights(*weights)) for half in halves]
        last_h = tf.concat([kept.states[-1] for kept in done], 0)
        last_c = tf.concat([kept.cells[-1] for kept in done], 0)
        states = last_h
        if sequences:
            states = tf.concat([_swap(kept.states[1:]) for kept in done], 0)

        def gradient(*upstream: Any) -> list[Any]:
            found = [
                _backward(kept, Weights(*weights), sequences, *(part[half] for part in upstream))
                for kept, half in zip(done, halves, strict=True)
            ]
            pairs = [list(pair) for pair in zip(*found, strict=True)]
            return [tf.concat(p, 0) for p in pairs[:3]] + [tf.add_n(p) for p in pairs[3:]]

        return (states, last_h, last_c), gradient

    outputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor] = tf.custom_gradient(batch)(x, h, c, *weights)
    return outputs


def _halves(batch: tf.Tensor) -> tuple[slice, ...]:
    """The parts of a batch that run side by side."""
    middle = tf.shape(batch)[0] // 2
    return slice(None, middle), slice(middle, None)


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Batch first to time first, or back."""
    return tf.transpose(values, (1, 0, 2))


def _forward(x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, weights: Weights) -> Forward:
    """Run half a batch: what needs no recurrence as one product, then the loop."""
    units = h.shape[1]
    # tanh(v) = 2 σ(2v) - 1: with the cell gate's columns doubled, one σ serves all four gates
    doubled = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), units)
    inputs = tf.reshape(_swap(x), (-1, x.shape[2]))
    values = tf.nn.bias_add(inputs @ (weights.kernel * doubled), weights.bias * doubled)
    values = tf.reshape(values, (x.shape[1], -1, 4 * units))
    return Forward(inputs, *_loop_forward(values, h, c, weights.recurrent * doubled))


def _backward(
    kept: Forward,
    weights: Weights,
    sequences: bool,
    d_states: tf.Tensor,
    d_h: tf.Tensor,
    d_c: tf.Tensor,
) -> list[tf.Tensor]:
    """Return the gradients of x, h and c, then those of the weights, for half a batch."""
    steps, units = kept.gates.shape[0], d_h.shape[1]
    if sequences:
        d_states = _swap(d_states)
    else:
        d_h, d_states = d_h + d_states, None
    values, d_h, d_c = _loop_backward(kept.gates, kept.cells, weights.recurrent, d_states, d_h, d_c)
    values = tf.reshape(values, (-1, 4 * units))
    d_x = tf.matmul(values, weights.kernel, transpose_b=True)
    before = tf.reshape(kept.states[:-1], (-1, units))
    return [
        _swap(tf.reshape(d_x, (steps, -1, d_x.shape[1]))),
        d_h,
        d_c,
        tf.matmul(kept.inputs, values, transpose_a=True),
        tf.matmul(before, values, transpose_a=True),
        # a product with ones: TensorFlow's sum over rows takes several times as long
        tf.matmul(tf.ones((1, tf.shape(values)[0])), values)[0],
    ]


def _steps_forward(
    values: tf.Tensor, h: tf.Tensor, c: tf.Tensor, recurrent: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The forward loop: gates, cells and states as in `Forward`.

    Args:
        values: what each gate gets from the input, shape (steps, batch, 4 · units).
        h: hidden state before the first step.
        c: cell state before the first step.
        recurrent: recurrent kernel, the cell gate's columns doubled as in `values`.
    """
    steps = values.shape[0]

    def step(t: Any, h: Any, c: Any, gates: Any, cells: Any, states: Any) -> Any:
        gate = tf.sigmoid(values[t] + h @ recurrent)
        i, f, g, o = tf.split(gate, 4, 1)
        c = f * c + i * (2 * g - 1)
        h = o * tf.tanh(c)
        written = gates.write(t, gate), cells.write(t + 1, c), states.write(t + 1, h)
        return t + 1, h, c, *written

    cells, states = _array(steps + 1, c).write(0, c), _array(steps + 1, h).write(0, h)
    start = (0, h, c, _array(steps, values[0]), cells, states)
    _, _, _, *arrays = tf.while_loop(lambda t, *_: t < steps, step, start, parallel_iterations=1)
    return tuple(array.stack() for array in arrays)


def _steps_backward(
    gates: tf.Tensor,
    cells: tf.Tensor,
    recurrent: tf.Tensor,
    d_states: tf.Tensor | None,
    d_h: tf.Tensor,
    d_c: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The backward loop: gradients of the gates' values before σ and tanh, of h and of c.

    Whatever does not depend on the gradient that comes from later steps is computed before.
    """
    steps, units = gates.shape[0], d_h.shape[1]
    i, f, g, o = tf.split(gates, 4, 2)
    g, c = 2 * g - 1, tf.tanh(cells[1:])
    slopes = tf.concat(
        [g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), c * o * (1 - o)], 2
    )
    h_to_c = o * (1 - c * c)
    transposed = tf.transpose(recurrent)

    def step(t: Any, d_h: Any, d_c: Any, values: Any) -> Any:
        if d_states is not None:
            d_h += d_states[t]
        d_c += d_h * h_to_c[t]
        value = tf.concat([d_c, d_c, d_c, d_h], 1) * values.read(t)
        forget = gates[t][:, units : 2 * units]
        return t - 1, value @ transposed, d_c * forget, values.write(t, value)

    # the values take the place of the slopes that they need: there is no second large array
    start = (steps - 1, d_h, d_c, _array(steps, slopes[0]).unstack(slopes))
    _, d_h, d_c, values = tf.while_loop(lambda t, *_: t >= 0, step, start, parallel_iterations=1)
    return values.stack(), d_h, d_c


def _array(length: int, like: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, length, element_shape=like.shape)


_loop_forward = tf.function(_steps_forward, jit_compile=True)
_loop_backward = tf.function(_steps_backward, jit_compile=True)
