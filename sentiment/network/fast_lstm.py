"""Train Keras' LSTM faster on a CPU: the same layers and mathematics by other means.

Most of its multiplications need no recurrence and become large matrix products before and after
the loop over time. What is left of the loop, forward and backward, is compiled by XLA, and the two
halves of a batch run side by side, each on one core. docs/speed.md has the measurements, and
optimisations that did not help.

`accelerate` changes how the instances of one model compute, never their classes or weights: what
is saved afterwards is plain Keras.

Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000. The gates are in Keras'
order: input, forget, cell, output.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sentiment.network.architectures import recurrent_layers
from sentiment.network.params import TrainParams

if TYPE_CHECKING:
    import keras


class Weights(NamedTuple):
    """Columns by gate: shapes (features, 4 · units), (units, 4 · units) and (4 · units,)."""

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


class State(NamedTuple):
    """An LSTM's output and cell, or their gradients, each of shape (batch, units)."""

    h: tf.Tensor
    c: tf.Tensor


class Forward(NamedTuple):
    """What one half's backward pass needs of the forward one, time first, float32.

    Attributes:
        inputs: shape (steps · batch, features).
        gates: after σ, shape (steps, batch, 4 · units).
        states: before the first step and after each, both of shape (steps + 1, batch, units).
        words: 1 for a step, 0 for one that is skipped, shape (steps, batch, 1); or None.
    """

    inputs: tf.Tensor
    gates: tf.Tensor
    states: State
    words: tf.Tensor | None


def accelerate(model: "keras.Model", params: TrainParams) -> str:
    """Let a compiled model compute by this module, if params allow it.

    Returns the path by which it trains; where that is stock Keras, also why.
    """
    kind = params.cell if params.architecture == "recurrent" else params.architecture
    obstacles = {
        f"a {kind} has no other path": kind != "lstm",
        "train.accelerate is false": not params.accelerate,
        "train.dropout.recurrent is not 0": params.dropout.recurrent > 0,
        "there is a GPU, which has kernels of its own": tf.config.list_physical_devices("GPU"),
    }
    for obstacle, applies in obstacles.items():
        if applies:
            return f"stock Keras: {obstacle}"
    for layer in recurrent_layers(model):
        layer.inner_loop = partial(_inner_loop, layer)
    _compile_updates(model)
    return "fast LSTM"


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
    """Replace the layer's method of this name."""
    if training and layer.dropout:
        sequences *= layer.cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
    if layer.go_backwards:
        sequences = tf.reverse(sequences, [1])
        mask = None if mask is None else tf.reverse(mask, [1])
    words = None if mask is None else tf.cast(tf.transpose(mask), tf.float32)[:, :, None]
    cell = layer.cell
    weights = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel, cell.bias))
    run = tf.custom_gradient(lambda *variables: _run(layer.return_sequences, words, *variables))
    outputs, *last = run(sequences, *initial_state, *weights)
    return last[0], outputs, last


def _run(sequences: bool, words: tf.Tensor | None, *variables: tf.Tensor) -> tuple[Any, Any]:
    """Run an LSTM over a batch.

    The variables, all float32, are the input, shape (batch, steps, features), `State` before the
    first step and `Weights`; `words` is as in `Forward`.

    Returns:
        The output after every step, shape (batch, steps, units), or with `sequences` false after
        the last one alone, and `State` after the last step; and what makes the gradients of the
        variables of the gradients of these three.
    """
    # or an eager tape records the steps as well, for which XLA has no gradient
    x, h, c, *kernels = map(tf.stop_gradient, variables)
    weights, middle = Weights(*kernels), tf.shape(x)[0] // 2
    halves = slice(None, middle), slice(middle, None)  # these run side by side
    read = [None if words is None else words[:, half] for half in halves]
    passes = [
        _forward(weights, x[half], State(h[half], c[half]), own)
        for half, own in zip(halves, read, strict=True)
    ]

    def gradient(d_outputs: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor) -> list[tf.Tensor]:
        d_h = d_h if sequences else d_h + d_outputs
        d_steps = [_swap(d_outputs[half]) if sequences else None for half in halves]
        gradients = [
            _backward(weights, forward, own, State(d_h[half], d_c[half]))
            for half, forward, own in zip(halves, passes, d_steps, strict=True)
        ]
        d_x, d_start_h, d_start_c, *d_weights = zip(*gradients, strict=True)
        rows = [tf.concat(parts, 0) for parts in (d_x, d_start_h, d_start_c)]
        return [*rows, *map(tf.add_n, d_weights)]

    states = [forward.states for forward in passes]
    last = [tf.concat([h[-1] for h, _ in states], 0), tf.concat([c[-1] for _, c in states], 0)]
    outputs = tf.concat([_swap(h[1:]) for h, _ in states], 0) if sequences else last[0]
    return (outputs, *last), gradient


def _swap(values: tf.Tensor) -> tf.Tensor:
    """Batch first to time first, or back."""
    return tf.transpose(values, (1, 0, 2))


def _forward(weights: Weights, x: tf.Tensor, start: State, words: tf.Tensor | None) -> Forward:
    """Run half a batch: what needs no recurrence as one product, then the loop.

    tanh(v) = 2 σ(2v) - 1: with the cell gate's columns doubled, one σ serves all four gates.
    """
    columns = weights.bias.shape[0]
    doubled = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), columns // 4)
    inputs = tf.reshape(_swap(x), (-1, x.shape[2]))
    values = tf.nn.bias_add(inputs @ (weights.kernel * doubled), weights.bias * doubled)
    values = tf.reshape(values, (x.shape[1], -1, columns))
    gates, states = _loop_forward(values, start, weights.recurrent * doubled, words)
    return Forward(inputs, gates, states, words)


def _backward(
    weights: Weights, forward: Forward, d_steps: tf.Tensor | None, d_last: State
) -> list[tf.Tensor]:
    """The gradients of a half's `variables`, see `_run`, from those of its outputs and end."""
    d_gates, d_start = _loop_backward(forward, weights.recurrent, d_steps, d_last)
    steps, units = forward.states.h.shape[0] - 1, forward.states.h.shape[2]
    d_gates = tf.reshape(d_gates, (-1, 4 * units))
    d_x = tf.matmul(d_gates, weights.kernel, transpose_b=True)
    before = tf.reshape(forward.states.h[:-1], (-1, units))
    return [
        _swap(tf.reshape(d_x, (steps, -1, d_x.shape[1]))),
        *d_start,
        tf.matmul(forward.inputs, d_gates, transpose_a=True),
        tf.matmul(before, d_gates, transpose_a=True),
        _sum(d_gates),
    ]


def _sum(rows: tf.Tensor) -> tf.Tensor:
    """A product with ones: TensorFlow's sum over rows takes several times as long."""
    return tf.matmul(tf.ones((1, tf.shape(rows)[0])), rows)[0]


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _loop_forward(
    values: tf.Tensor, start: State, recurrent: tf.Tensor, words: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """All steps of half a batch: `gates` and `states` of `Forward`.

    The values are what each gate gets from the input, shape (steps, batch, 4 · units); there and in
    the recurrent weights the cell gate's columns are doubled.
    """
    steps = values.shape[0]

    def step(t: Any, before: State, gates: Any, states: State) -> Any:
        activated = tf.sigmoid(values[t] + before.h @ recurrent)
        i, f, g, o = tf.split(activated, 4, 1)
        c = f * before.c + i * (2 * g - 1)
        after = State(o * tf.tanh(c), c)
        if words is not None:
            share = words[t]  # 0 keeps the state before
            pairs = zip(after, before, strict=True)
            after = State(*(share * new + (1 - share) * old for new, old in pairs))
        return t + 1, after, gates.write(t, activated), _write(states, t + 1, after)

    empty = State(*(_array(steps + 1, value.shape) for value in start))
    begin = (0, start, _array(steps, values.shape[1:]), _write(empty, 0, start))
    _, _, gates, states = tf.while_loop(lambda t, *_: t < steps, step, begin, parallel_iterations=1)
    return gates.stack(), State(states.h.stack(), states.c.stack())


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _loop_backward(
    forward: Forward, recurrent: tf.Tensor, d_steps: tf.Tensor | None, d_last: State
) -> tuple[tf.Tensor, State]:
    """All steps of half a batch, from the last one back.

    A step back is linear in the gradient of the state: the derivatives that this is multiplied by
    are computed for all steps at once, before the loop.

    Returns:
        The gradient of the gates before their activation, shape (steps, batch, 4 · units), and that
        of the state before the first step.
    """
    cells, words = forward.states.c, forward.words
    steps = cells.shape[0] - 1
    i, f, g, o = tf.split(forward.gates, 4, 2)
    g, c = 2 * g - 1, tf.tanh(cells[1:])
    own = [g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), c * o * (1 - o)]
    derivatives, h_to_c = tf.concat(own, 2), o * (1 - c * c)
    transposed = tf.transpose(recurrent)

    def step(t: Any, after: State, d_gates: Any) -> Any:
        if d_steps is not None:
            after = State(after.h + d_steps[t], after.c)
        d_h, d_c = after if words is None else [gradient * words[t] for gradient in after]
        d_c += d_h * h_to_c[t]
        d_gate = tf.concat([d_c, d_c, d_c, d_h], 1) * d_gates.read(t)
        before = State(d_gate @ transposed, d_c * f[t])
        if words is not None:  # what was skipped leaves the gradient as it is
            pairs = zip(before, after, strict=True)
            before = State(*(through + (1 - words[t]) * past for through, past in pairs))
        return t - 1, before, d_gates.write(t, d_gate)

    # the gradients take the place of the derivatives that they need: there is no second large array
    begin = (steps - 1, d_last, _array(steps, derivatives.shape[1:]).unstack(derivatives))
    _, d_start, d_gates = tf.while_loop(lambda t, *_: t >= 0, step, begin, parallel_iterations=1)
    return d_gates.stack(), d_start


def _write(arrays: State, step: Any, values: State) -> State:
    """The arrays of states with these values at a step."""
    return State(arrays.h.write(step, values.h), arrays.c.write(step, values.c))


def _array(length: int, shape: Any) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, length, element_shape=shape)
