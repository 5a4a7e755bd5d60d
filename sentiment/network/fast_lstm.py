"""Train Keras' LSTM faster on a CPU: the same layers and mathematics, computed in another way.

Most multiplications of an LSTM need no recurrence. They become large matrix products before and
after the loop over time. XLA compiles the rest of the loop, forward and backward. The two halves of
a batch run in parallel, each on one core. docs/performance.md has the measurements.

`accelerate` changes how the instances of one model compute, but neither their classes nor their
weights: what is saved afterwards is plain Keras.

Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000. The gates are in Keras'
order: input, forget, cell, output.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sentiment.network.model import recurrent_layers
from sentiment.params import TrainParams

if TYPE_CHECKING:
    import keras


class Weights(NamedTuple):
    """The weights of an LSTM, with columns ordered by gate.

    Attributes:
        kernel: shape (features, 4 · units).
        recurrent: shape (units, 4 · units).
        bias: shape (4 · units,).
    """

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


class State(NamedTuple):
    """An LSTM's output and cell, or their gradients, each of shape (batch, units)."""

    h: tf.Tensor
    c: tf.Tensor


class Forward(NamedTuple):
    """The results of the forward pass of half a batch that the backward pass needs, float32.

    Attributes:
        inputs: shape (steps · batch, features).
        gates: after σ, shape (steps, batch, 4 · units).
        states: before the first step and after each, both of shape (steps + 1, batch, units).
        words: 1 for each word, 0 for masked padding, shape (steps, batch, 1). None without a mask.
    """

    inputs: tf.Tensor
    gates: tf.Tensor
    states: State
    words: tf.Tensor | None


def accelerate(model: "keras.Model", params: TrainParams) -> str:
    """Let a compiled model compute with this module, if params and hardware allow it.

    Args:
        model: see `sentiment.network.model.build_model`. Its layers are changed.
        params: the section `train`.

    Returns:
        How the model is trained: "fast LSTM", or "stock Keras" and the reason.
    """
    kind = "linear model" if params.architecture == "linear" else params.cell
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
    """Let XLA update each variable in one pass. Keras makes a pass for each operation."""
    apply = model.optimizer.apply
    variables = model.trainable_variables
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
    """Replace Keras' method `inner_loop` of a layer."""
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

    Args:
        sequences: return the output after each step, not only after the last one.
        words: see `Forward`.
        variables: the input, shape (batch, steps, features), `State` before the first step and
            `Weights`, all float32.

    Returns:
        A tuple, and a function from the gradients of its values to those of `variables`. The tuple
        has the output after each step, shape (batch, steps, units), or only after the last one,
        shape (batch, units); and `State` after the last step.
    """
    # Otherwise an eager tape also records the steps, for which XLA has no gradient.
    x, h, c, *kernels = map(tf.stop_gradient, variables)
    weights = Weights(*kernels)
    middle = tf.shape(x)[0] // 2
    halves = slice(None, middle), slice(middle, None)  # run in parallel
    half_words = [None if words is None else words[:, half] for half in halves]
    passes = [
        _forward(weights, x[half], State(h[half], c[half]), own_words)
        for half, own_words in zip(halves, half_words, strict=True)
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
    """Swap the axes of batch and time."""
    return tf.transpose(values, (1, 0, 2))


def _forward(weights: Weights, x: tf.Tensor, start: State, words: tf.Tensor | None) -> Forward:
    """Run half a batch: one product of everything that needs no recurrence, then the loop.

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
    """Return the gradients of the variables (see `_run`) of half a batch.

    Args:
        weights: the weights.
        forward: the results of the forward pass.
        d_steps: gradients of the output after each step, shape (steps, batch, units), if all of
            them were returned.
        d_last: gradients of the state after the last step.
    """
    d_gates, d_start = _loop_backward(forward, weights.recurrent, d_steps, d_last)
    steps = forward.states.h.shape[0] - 1
    units = forward.states.h.shape[2]
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
    """Sum over rows by a product with ones. TensorFlow's sum takes several times as long."""
    return tf.matmul(tf.ones((1, tf.shape(rows)[0])), rows)[0]


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _loop_forward(
    values: tf.Tensor, start: State, recurrent: tf.Tensor, words: tf.Tensor | None
) -> tuple[tf.Tensor, State]:
    """Run all steps of half a batch, and return `gates` and `states` of `Forward`.

    The cell gate's columns of `values` and `recurrent` are doubled.

    Args:
        values: what each gate gets from the input, shape (steps, batch, 4 · units).
        start: the state before the first step.
        recurrent: the recurrent weights, shape (units, 4 · units).
        words: see `Forward`.
    """
    steps = values.shape[0]

    def step(t: Any, before: State, gates: Any, states: State) -> Any:
        activated = tf.sigmoid(values[t] + before.h @ recurrent)
        i, f, g, o = tf.split(activated, 4, 1)
        c = f * before.c + i * (2 * g - 1)
        after = State(o * tf.tanh(c), c)
        if words is not None:
            is_word = words[t]  # 0 keeps the state
            pairs = zip(after, before, strict=True)
            after = State(*(is_word * new + (1 - is_word) * old for new, old in pairs))
        return t + 1, after, gates.write(t, activated), _write(states, t + 1, after)

    empty = State(*(_array(steps + 1, value.shape) for value in start))
    begin = (0, start, _array(steps, values.shape[1:]), _write(empty, 0, start))
    _, _, gates, states = tf.while_loop(lambda t, *_: t < steps, step, begin, parallel_iterations=1)
    return gates.stack(), State(states.h.stack(), states.c.stack())


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _loop_backward(
    forward: Forward, recurrent: tf.Tensor, d_steps: tf.Tensor | None, d_last: State
) -> tuple[tf.Tensor, State]:
    """Run all steps of half a batch backward.

    A backward step is linear in the gradient of the state. The derivatives that this gradient is
    multiplied by are computed for all steps at once, before the loop.

    Args:
        forward: the results of the forward pass.
        recurrent: the recurrent weights, shape (units, 4 · units).
        d_steps: see `_backward`. `d_last` likewise.

    Returns:
        The gradients of the gates before their activation, shape (steps, batch, 4 · units), and the
        gradient of the state before the first step.
    """
    cells = forward.states.c
    words = forward.words
    steps = cells.shape[0] - 1
    i, f, g, o = tf.split(forward.gates, 4, 2)
    g = 2 * g - 1
    c = tf.tanh(cells[1:])
    by_gate = [g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), c * o * (1 - o)]
    derivatives = tf.concat(by_gate, 2)
    h_to_c = o * (1 - c * c)
    transposed = tf.transpose(recurrent)

    def step(t: Any, after: State, d_gates: Any) -> Any:
        if d_steps is not None:
            after = State(after.h + d_steps[t], after.c)
        d_h, d_c = after if words is None else [gradient * words[t] for gradient in after]
        d_c += d_h * h_to_c[t]
        d_gate = tf.concat([d_c, d_c, d_c, d_h], 1) * d_gates.read(t)
        before = State(d_gate @ transposed, d_c * f[t])
        if words is not None:  # masked padding does not change the gradient
            pairs = zip(before, after, strict=True)
            before = State(*(through + (1 - words[t]) * past for through, past in pairs))
        return t - 1, before, d_gates.write(t, d_gate)

    # Each step's gradients replace its derivatives, so that no second large array is needed.
    begin = (steps - 1, d_last, _array(steps, derivatives.shape[1:]).unstack(derivatives))
    _, d_start, d_gates = tf.while_loop(lambda t, *_: t >= 0, step, begin, parallel_iterations=1)
    return d_gates.stack(), d_start


def _write(arrays: State, step: Any, values: State) -> State:
    """Write the values of a step into the arrays of states."""
    return State(arrays.h.write(step, values.h), arrays.c.write(step, values.c))


def _array(length: int, shape: Any) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, length, element_shape=shape)
