"""Train Keras' recurrent layers faster on a CPU: the same layers and mathematics by other means.

Most of a cell's multiplications need no recurrence and become large matrix products before and
after the loop over time. What is left of the loop, forward and backward, is compiled by XLA, and
the two halves of a batch run side by side, each on one core. What differs between the cells is in
`cells.py`; docs/speed.md has the measurements, and optimisations that did not help.

`accelerate` changes how the instances of one model compute, never their classes or weights: what
is saved afterwards is plain Keras.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sentiment.network.architectures import recurrent_layers
from sentiment.network.cells import CELLS, Cell, Tensors, Weights
from sentiment.network.train_options import Train

if TYPE_CHECKING:
    import keras


class Forward(NamedTuple):
    """What one half's backward pass needs of the forward one, time first, float32.

    Attributes:
        inputs: shape (steps · batch, features).
        kept: what the cell keeps of each step.
        states: of the cell, before the first step and after each, shape (steps + 1, batch, units).
    """

    inputs: tf.Tensor
    kept: Tensors
    states: Tensors


def obstacle(params: Train) -> str | None:
    """Say why stock Keras has to train a model of these params, or None where it need not."""
    obstacles = {
        "train.accelerate is false": not params.accelerate,
        "train.dropout.recurrent is not 0": params.dropout.recurrent > 0,
        "there is a GPU, which has kernels of its own": tf.config.list_physical_devices("GPU"),
    }
    return next((reason for reason, applies in obstacles.items() if applies), None)


def accelerate(model: "keras.Model") -> None:
    """Make the recurrent layers and the optimizer of a compiled model compute by this file.

    The layers must be as `build_model` makes them where there is no `obstacle`.
    """
    for layer in recurrent_layers(model):
        layer.inner_loop = partial(_inner_loop, layer)
    _compile_updates(model)


def _compile_updates(model: "keras.Model") -> None:
    """Let XLA make one pass over each variable, where Keras makes one for each operation."""
    apply, variables = model.optimizer.apply, model.trainable_variables
    model.optimizer.build(variables)
    compiled = tf.function(lambda gradients: apply(gradients, variables), jit_compile=True)
    model.optimizer.apply = lambda gradients, _: compiled(list(gradients))


def _inner_loop(
    layer: "keras.layers.RNN",
    sequences: tf.Tensor,
    initial_state: Any,
    mask: tf.Tensor | None,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Replace the layer's method of this name."""
    if training and layer.dropout:
        sequences *= layer.cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
    if layer.go_backwards:
        sequences = tf.reverse(sequences, [1])
        mask = None if mask is None else tf.reverse(mask, [1])
    own = layer.cell
    weights = Weights(*map(tf.convert_to_tensor, (own.kernel, own.recurrent_kernel, own.bias)))
    start = initial_state if isinstance(initial_state, list | tuple) else [initial_state]
    words = None if mask is None else tf.cast(mask, tf.float32)[:, :, None]
    cell = CELLS[type(layer).__name__]
    states, last = recur(cell, sequences, start, weights, layer.return_sequences, words)
    return last[0], states, last


def recur(
    cell: Cell,
    x: tf.Tensor,
    start: Tensors,
    weights: Weights,
    sequences: bool,
    words: tf.Tensor | None = None,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run a cell over a batch.

    Args:
        cell: see there.
        x: shape (batch, steps, features), float32.
        start: state before the first step, each of shape (batch, units), float32.
        weights: see there.
        sequences: whether to return the cell's output after every step.
        words: 1 for a step, 0 for one that is skipped, shape (batch, steps, 1), float32; or None.

    Returns:
        Its output after every step, shape (batch, steps, units), or with `sequences` false after
        the last one alone; the state after the last step.
    """

    def batch(*given: Any) -> Any:
        # or an eager tape records the steps as well, for which XLA has no gradient
        x, *rest = map(tf.stop_gradient, given)
        start, weights = rest[: -len(Weights._fields)], Weights(*rest[-len(Weights._fields) :])
        halves = _halves(x)
        read = [None if words is None else _swap(words[half]) for half in halves]
        done = [
            _forward(cell, x[half], [state[half] for state in start], weights, own)
            for half, own in zip(halves, read, strict=True)
        ]

        def gradient(d_outputs: tf.Tensor, *d_last: tf.Tensor) -> list[tf.Tensor]:
            ends = d_last if sequences else (d_last[0] + d_outputs, *d_last[1:])
            return _joined(
                _backward(
                    cell,
                    kept,
                    weights,
                    own,
                    _swap(d_outputs[half]) if sequences else None,
                    [end[half] for end in ends],
                )
                for kept, half, own in zip(done, halves, read, strict=True)
            )

        last = _last(done)
        every = [_swap(kept.states[0][1:]) for kept in done]  # output after every step
        return (tf.concat(every, 0) if sequences else last[0], *last), gradient

    output, *last = tf.custom_gradient(batch)(x, *start, *weights)
    return output, last


def _last(done: Sequence[Forward]) -> list[tf.Tensor]:
    """The state after the last step, of all parts of a batch."""
    ends = [[states[-1] for states in kept.states] for kept in done]
    return [tf.concat(parts, 0) for parts in zip(*ends, strict=True)]


def _joined(gradients: Iterable[list[tf.Tensor]]) -> list[tf.Tensor]:
    """The gradients of a batch from those of its parts; those of the weights come last."""
    columns = [list(column) for column in zip(*gradients, strict=True)]
    rows, sums = columns[: -len(Weights._fields)], columns[-len(Weights._fields) :]
    return [*(tf.concat(row, 0) for row in rows), *map(tf.add_n, sums)]


def _halves(batch: tf.Tensor) -> tuple[slice, ...]:
    """The parts of a batch that run side by side."""
    middle = tf.shape(batch)[0] // 2
    return slice(None, middle), slice(middle, None)


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Batch first to time first, or back."""
    return tf.transpose(values, (1, 0, 2))


def _forward(
    cell: Cell, x: tf.Tensor, start: Tensors, weights: Weights, words: tf.Tensor | None
) -> Forward:
    """Run half a batch: what needs no recurrence as one product, then the loop."""
    kernel, bias = cell.projection(weights)
    inputs = tf.reshape(_swap(x), (-1, x.shape[2]))
    values = tf.nn.bias_add(inputs @ kernel, bias)
    values = tf.reshape(values, (x.shape[1], -1, kernel.shape[1]))
    return Forward(inputs, *_loop_forward(cell, values, start, cell.looped(weights), words))


def _backward(
    cell: Cell,
    done: Forward,
    weights: Weights,
    words: tf.Tensor | None,
    d_states: tf.Tensor | None,
    d_last: Tensors,
) -> list[tf.Tensor]:
    """Return the gradients of x and of the start, then those of the weights, for half a batch.

    Args:
        cell: see there.
        done: what the forward pass kept.
        weights: see there.
        words: see `recur`, time first.
        d_states: gradient of the cell's output after every step, time first; None for none.
        d_last: gradient of the state after the last step.
    """
    steps, units = done.states[0].shape[0] - 1, done.states[0].shape[2]
    values, products, d_start = _loop_backward(
        cell, done.kept, done.states, weights.recurrent, words, d_states, d_last
    )
    values, products = (tf.reshape(rows, (-1, rows.shape[2])) for rows in (values, products))
    d_x = tf.matmul(values, weights.kernel, transpose_b=True)
    before = tf.reshape(done.states[0][:-1], (-1, units))
    return [
        _swap(tf.reshape(d_x, (steps, -1, d_x.shape[1]))),
        *d_start,
        tf.matmul(done.inputs, values, transpose_a=True),
        tf.matmul(before, products, transpose_a=True),
        cell.bias(_sum(values), _sum(products)),
    ]


def _sum(rows: tf.Tensor) -> tf.Tensor:
    """A product with ones: TensorFlow's sum over rows takes several times as long."""
    return tf.matmul(tf.ones((1, tf.shape(rows)[0])), rows)[0]


def _steps_forward(
    cell: Cell, values: tf.Tensor, start: Tensors, weights: Tensors, words: tf.Tensor | None
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The forward loop: `kept` and `states` of `Forward`.

    Args:
        cell: see there.
        values: what each gate gets from the input, shape (steps, batch, gates · units).
        start: state before the first step.
        weights: what a step needs of them.
        words: see `recur`, time first.
    """
    steps = values.shape[0]

    def step(t: Any, state: Any, kept: Any, states: Any) -> Any:
        after, own = cell.step(values[t], state, weights)
        if words is not None:
            share = words[t]  # 0 keeps the state before
            after = tuple(share * a + (1 - share) * b for a, b in zip(after, state, strict=True))
        return t + 1, after, _write(kept, t, own), _write(states, t + 1, after)

    _, example = cell.step(values[0], start, weights)
    kept = tuple(_array(steps, value) for value in example)
    states = _write([_array(steps + 1, value) for value in start], 0, start)
    begin = (0, tuple(start), kept, states)
    _, _, *arrays = tf.while_loop(lambda t, *_: t < steps, step, begin, parallel_iterations=1)
    stacked = [[array.stack() for array in group] for group in arrays]
    return stacked[0], stacked[1]


def _steps_backward(
    cell: Cell,
    kept: Tensors,
    states: Tensors,
    recurrent: tf.Tensor,
    words: tf.Tensor | None,
    d_states: tf.Tensor | None,
    d_last: Tensors,
) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
    """The backward loop: gradients of the gates' values, of the products and of the start.

    Whatever does not depend on the gradient that comes from later steps is computed before.
    """
    steps = states[0].shape[0] - 1
    own, *rest = cell.derivatives(kept, states)
    # rows of zeros for what is no part of the product: a part of an array alone would be copied
    empty = own.shape[2] - recurrent.shape[1]
    transposed = tf.pad(tf.transpose(recurrent), [[empty, 0], [0, 0]])

    def step(t: Any, gradient: Any, d_gates: Any) -> Any:
        if d_states is not None:
            gradient = (gradient[0] + d_states[t], *gradient[1:])
        taken = gradient if words is None else [value * words[t] for value in gradient]
        needed = [d_gates.read(t), *(derivative[t] for derivative in rest)]
        d_gate, (direct, *others) = cell.back(taken, needed)
        through = d_gate @ transposed
        before = (through if direct is None else through + direct, *others)
        if words is not None:  # what was skipped leaves the gradient as it is
            before = tuple(b + (1 - words[t]) * g for b, g in zip(before, gradient, strict=True))
        return t - 1, before, d_gates.write(t, d_gate)

    # the gradients take the place of the derivatives that they need: there is no second large array
    begin = (steps - 1, tuple(d_last), _array(steps, own[0]).unstack(own))
    _, start, d_gates = tf.while_loop(lambda t, *_: t >= 0, step, begin, parallel_iterations=1)
    return cell.values(d_gates.stack()), cell.product(d_gates.stack()), start


def _write(
    arrays: Sequence[tf.TensorArray], step: Any, values: Tensors
) -> tuple[tf.TensorArray, ...]:
    """The arrays, as many as there are, with these values at a step."""
    return tuple(array.write(step, value) for array, value in zip(arrays, values, strict=False))


def _array(length: int, like: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, length, element_shape=like.shape)


_loop_forward = tf.function(_steps_forward, jit_compile=True)
_loop_backward = tf.function(_steps_backward, jit_compile=True)
