"""What one step of each recurrent cell computes, forward and backward, for the fast path.

A cell's state is a tuple of tensors of shape (batch, units); the first is what it shows. A step
back is linear in the gradient of the state: what that is multiplied by, its *slopes*, is computed
for all steps at once before the loop begins.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

Tensors = Sequence[tf.Tensor]


class Weights(NamedTuple):
    """The variables of a Keras cell, columns by gate.

    Attributes:
        kernel: shape (features, gates · units), float32.
        recurrent: shape (units, gates · units), float32.
        bias: shape (gates · units,), of a GRU (2, gates · units), float32.
    """

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


class Back(NamedTuple):
    """A step back.

    Attributes:
        values: gradient of what came from the input, shape (batch, gates · units).
        products: gradient of the product of state and recurrent kernel, in the same shape; for
            all cells but the GRU the same tensor.
        state: gradient of the state before, but for what comes through that product; None for
            nothing.
    """

    values: tf.Tensor
    products: tf.Tensor
    state: tuple[tf.Tensor | None, ...]


class Cell(Protocol):
    """A recurrent cell; `kept` is what the steps back need of the forward ones.

    Attributes:
        products: whether the two gradients of a step back differ, see `Back`.
    """

    products: bool

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        """The kernel that the inputs of all steps are multiplied by, and the bias added to it."""

    def looped(self, weights: Weights) -> Tensors:
        """What a step needs of the weights."""

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        """The next state, and what is kept."""

    def slopes(self, kept: Tensors, states: Tensors) -> Tensors:
        """What steps back multiply by, from arrays of all steps, time first.

        Args:
            kept: of each step.
            states: before the first step and after each, shape (steps + 1, batch, units).
        """

    def back(self, gradient: Tensors, slopes: Tensors) -> Back:
        """A step back from the gradient of the state after it."""

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:
        """The gradient of the bias from the sums over all steps and reviews of both gradients."""


class Lstm:
    """Hochreiter and Schmidhuber 1997; forget gate: Gers 2000. Gates: input, forget, cell, output.

    tanh(v) = 2 σ(2v) - 1: with the cell gate's columns doubled, one σ serves all four gates.
    """

    products = False

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        doubled = self._doubled(weights)
        return weights.kernel * doubled, weights.bias * doubled

    def looped(self, weights: Weights) -> Tensors:
        return [weights.recurrent * self._doubled(weights)]

    def _doubled(self, weights: Weights) -> tf.Tensor:
        return tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), weights.recurrent.shape[0])

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (h, c), (recurrent,) = state, weights
        gates = tf.sigmoid(value + h @ recurrent)
        i, f, g, o = tf.split(gates, 4, 1)
        c = f * c + i * (2 * g - 1)
        return (o * tf.tanh(c), c), (gates,)

    def slopes(self, kept: Tensors, states: Tensors) -> Tensors:
        (gates,), (_, cells) = kept, states
        i, f, g, o = tf.split(gates, 4, 2)
        g, c = 2 * g - 1, tf.tanh(cells[1:])
        own = [g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), c * o * (1 - o)]
        return [tf.concat(own, 2), o * (1 - c * c), f]

    def back(self, gradient: Tensors, slopes: Tensors) -> Back:
        (d_h, d_c), (own, h_to_c, forget) = gradient, slopes
        d_c += d_h * h_to_c
        values = tf.concat([d_c, d_c, d_c, d_h], 1) * own
        return Back(values, values, (None, d_c * forget))

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        return values


class Gru:
    """Cho et al. 2014, reset after the product as in cuDNN. Gates: update, reset, candidate."""

    products = True

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        units = weights.recurrent.shape[0]
        own, recurrent = tf.unstack(weights.bias)
        return weights.kernel, own + tf.pad(recurrent[: 2 * units], [[0, units]])

    def looped(self, weights: Weights) -> Tensors:
        return [weights.recurrent, weights.bias[1, 2 * weights.recurrent.shape[0] :]]

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (h,), (recurrent, bias), units = state, weights, state[0].shape[1]
        product = h @ recurrent
        gates = tf.sigmoid(value[:, : 2 * units] + product[:, : 2 * units])
        update, reset = tf.split(gates, 2, 1)
        inner = product[:, 2 * units :] + bias
        candidate = tf.tanh(value[:, 2 * units :] + reset * inner)
        return (update * h + (1 - update) * candidate,), (gates, inner, candidate)

    def slopes(self, kept: Tensors, states: Tensors) -> Tensors:
        (gates, inner, candidate), (h,) = kept, states
        update, reset = tf.split(gates, 2, 2)
        to_update = (h[:-1] - candidate) * update * (1 - update)
        to_candidate = (1 - update) * (1 - candidate * candidate)
        to_reset = to_candidate * inner * reset * (1 - reset)
        return [tf.concat([to_update, to_reset, to_candidate], 2), reset, update]

    def back(self, gradient: Tensors, slopes: Tensors) -> Back:
        (d_h,), (own, reset, update) = gradient, slopes
        values = tf.concat([d_h, d_h, d_h], 1) * own
        *gates, candidate = tf.split(values, 3, 1)
        return Back(values, tf.concat([*gates, candidate * reset], 1), (d_h * update,))

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:
        return tf.stack([values, products])


class SimpleRnn:
    """Elman 1990: a tanh of input and state."""

    products = False

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        return weights.kernel, weights.bias

    def looped(self, weights: Weights) -> Tensors:
        return [weights.recurrent]

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (h,), (recurrent,) = state, weights
        return (tf.tanh(value + h @ recurrent),), ()

    def slopes(self, kept: Tensors, states: Tensors) -> Tensors:  # noqa: ARG002
        (h,) = states
        return [1 - h[1:] * h[1:]]

    def back(self, gradient: Tensors, slopes: Tensors) -> Back:
        (d_h,), (own,) = gradient, slopes
        return Back(d_h * own, d_h * own, (None,))

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        return values


CELLS: dict[str, Cell] = {"LSTM": Lstm(), "GRU": Gru(), "SimpleRNN": SimpleRnn()}  # by layer
