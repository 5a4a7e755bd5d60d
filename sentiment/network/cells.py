"""What one step of each recurrent cell computes, forward and backward, for the fast path.

A cell's state is a tuple of tensors of shape (batch, units); the first is its output. A step back
is linear in the gradient of the state: the derivatives that it is multiplied by are computed for
all steps at once before the loop begins. Gradients of the gates are those before their activation.
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


class Cell(Protocol):
    """A recurrent cell; `kept` is what the steps back need of the forward ones."""

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        """The kernel that the inputs of all steps are multiplied by, and the bias added to it."""

    def looped(self, weights: Weights) -> Tensors:
        """What a step needs of the weights."""

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        """The next state, and what is kept."""

    def derivatives(self, kept: Tensors, states: Tensors) -> Tensors:
        """The derivatives that steps back multiply by, from arrays of all steps, time first.

        Args:
            kept: of each step.
            states: before the first step and after each, shape (steps + 1, batch, units).
        """

    def back(
        self, gradient: Tensors, derivatives: Tensors
    ) -> tuple[tf.Tensor, tuple[tf.Tensor | None, ...]]:
        """A step back from the gradient of the state after it.

        Returns:
            The gradient of the gates, in the shape of the first of the derivatives, and that of the
            state before but for what comes through the recurrent kernel; None for nothing.
        """

    def values(self, d_gates: tf.Tensor) -> tf.Tensor:
        """Of the gradient of the gates, that of what came from the input."""

    def product(self, d_gates: tf.Tensor) -> tf.Tensor:
        """Of the gradient of the gates, that of the state's product with the kernel."""

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:
        """The gradient of the bias from the sums over all steps and reviews of both gradients."""


class _OneGradient:
    """A cell that adds what comes from the input and from the state, so that their gradients are
    the same."""

    def values(self, d_gates: tf.Tensor) -> tf.Tensor:
        return d_gates

    def product(self, d_gates: tf.Tensor) -> tf.Tensor:
        return d_gates

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        return values


class Lstm(_OneGradient):
    """Hochreiter and Schmidhuber 1997; forget gate: Gers 2000. Gates: input, forget, cell, output.

    tanh(v) = 2 σ(2v) - 1: with the cell gate's columns doubled, one σ serves all four gates.
    """

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

    def derivatives(self, kept: Tensors, states: Tensors) -> Tensors:
        (gates,), (_, cells) = kept, states
        i, f, g, o = tf.split(gates, 4, 2)
        g, c = 2 * g - 1, tf.tanh(cells[1:])
        own = [g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), c * o * (1 - o)]
        return [tf.concat(own, 2), o * (1 - c * c), f]

    def back(
        self, gradient: Tensors, derivatives: Tensors
    ) -> tuple[tf.Tensor, tuple[tf.Tensor | None, ...]]:
        (d_h, d_c), (own, h_to_c, forget) = gradient, derivatives
        d_c += d_h * h_to_c
        return tf.concat([d_c, d_c, d_c, d_h], 1) * own, (None, d_c * forget)


class Gru:
    """Cho et al. 2014, reset after the product as in cuDNN. Gates: update, reset, candidate.

    Inside are the gradients of the candidate's value, of both gates, and of the candidate's part of
    the product, which the reset gate multiplies.
    """

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

    def derivatives(self, kept: Tensors, states: Tensors) -> Tensors:
        (gates, inner, candidate), (h,) = kept, states
        update, reset = tf.split(gates, 2, 2)
        to_update = (h[:-1] - candidate) * update * (1 - update)
        to_candidate = (1 - update) * (1 - candidate * candidate)
        to_reset = to_candidate * inner * reset * (1 - reset)
        return [tf.concat([to_candidate, to_update, to_reset, to_candidate * reset], 2), update]

    def back(
        self, gradient: Tensors, derivatives: Tensors
    ) -> tuple[tf.Tensor, tuple[tf.Tensor | None, ...]]:
        (d_h,), (own, update) = gradient, derivatives
        return tf.concat([d_h, d_h, d_h, d_h], 1) * own, (d_h * update,)

    def values(self, d_gates: tf.Tensor) -> tf.Tensor:
        candidate, update, reset, _ = tf.split(d_gates, 4, -1)
        return tf.concat([update, reset, candidate], -1)

    def product(self, d_gates: tf.Tensor) -> tf.Tensor:
        return d_gates[..., d_gates.shape[-1] // 4 :]

    def bias(self, values: tf.Tensor, products: tf.Tensor) -> tf.Tensor:
        return tf.stack([values, products])


class SimpleRnn(_OneGradient):
    """Elman 1990: a tanh of input and state."""

    def projection(self, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        return weights.kernel, weights.bias

    def looped(self, weights: Weights) -> Tensors:
        return [weights.recurrent]

    def step(
        self, value: tf.Tensor, state: Tensors, weights: Tensors
    ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (h,), (recurrent,) = state, weights
        return (tf.tanh(value + h @ recurrent),), ()

    def derivatives(self, kept: Tensors, states: Tensors) -> Tensors:  # noqa: ARG002
        (h,) = states
        return [1 - h[1:] * h[1:]]

    def back(
        self, gradient: Tensors, derivatives: Tensors
    ) -> tuple[tf.Tensor, tuple[tf.Tensor | None, ...]]:
        (d_h,), (own,) = gradient, derivatives
        return d_h * own, (None,)


CELLS: dict[str, Cell] = {"LSTM": Lstm(), "GRU": Gru(), "SimpleRNN": SimpleRnn()}  # by layer
