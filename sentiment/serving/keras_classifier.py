"""A network that Keras saved, as it reads texts and answers.

It is asked in steps of one fixed shape: the same review gets the same bits in any company, since
matrix products of another shape may be summed in another order. The evaluation and the served
model both ask so, which makes their answers equal and not just close. A larger shape is used only
where it is seen to sum in the same order, which depends on the shape and never on the values.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import load_keras, usable_cores
from ..tokenizer import Layout, Word, pad_ranks, positions

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

DIRECTIONS = ("forward_layer", "backward_layer")  # of a bidirectional layer
LARGE_BATCH_SIZE = 128  # reviews a step, which takes half the time for each
LARGE_INPUT = 5000  # reviews that are worth another compilation
PROBE_SIZE = 1024  # reviews that show whether the bits are the same


class CompiledModel(NamedTuple):
    """A model compiled for steps of so many reviews."""

    size: int
    call: Callable[[NDArray[np.int32]], "tf.Tensor"]

    def predict(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """What `Predictor` returns; the last step is filled up, and takes as long."""
        steps = [tokens[start : start + self.size] for start in range(0, len(tokens), self.size)]
        if len(steps) < 2:
            return self.predict_batch(tokens) if steps else np.zeros(0, np.float32)
        # a step keeps one core busy: several at once leave the bits of each as they are
        with ThreadPoolExecutor(usable_cores()) as pool:
            return np.concatenate(list(pool.map(self.predict_batch, steps)))

    def predict_batch(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        full = np.zeros((self.size, tokens.shape[1]), np.int32)
        full[: len(tokens)] = tokens
        answers: NDArray[np.float32] = self.call(full).numpy()
        return answers[: len(tokens), 0]


class BatchPredictor:
    """A model compiled by XLA for steps of `batch_size` reviews.

    Asked about many reviews, it takes larger steps if they give some of these the same bits.

    Args:
        model: from token ids, shape (batch, length), to probabilities, shape (batch, 1). From now
            on it does not use cuDNN, whose kernels XLA cannot compile.
        batch_size: reviews a step.
    """

    def __init__(self, model: "keras.Model", batch_size: int) -> None:
        for outer in model.layers:
            for layer in (outer, *(getattr(outer, name, outer) for name in DIRECTIONS)):
                if hasattr(layer, "use_cudnn"):
                    layer.use_cudnn = False
        self.model = model
        self.length = model.input_shape[1]
        self._program = self._compiled(batch_size)
        self._large: CompiledModel | None = None

    def __call__(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Each review's probability of being positive, shape (reviews,).

        Token ids have the shape (reviews, length) and any integer type.
        """
        if len(tokens) < LARGE_INPUT:
            return self._program.predict(tokens)
        if self._large is None:
            large, some = self._compiled(LARGE_BATCH_SIZE), tokens[:PROBE_SIZE]
            is_same = np.array_equal(large.predict(some), self._program.predict(some))
            self._large = large if is_same else self._program
        return self._large.predict(tokens)

    def _compiled(self, size: int) -> CompiledModel:
        import tensorflow as tf

        call = tf.function(
            lambda tokens: self.model(tokens, training=False),
            input_signature=[tf.TensorSpec((size, self.length), "int32")],
            jit_compile=True,
        )
        # called without a look at what it is called with: 0.15 ms less
        return CompiledModel(size, call.get_concrete_function())


class KerasClassifier:
    """A `Reader`, whose layout says how a text becomes a row of token ids."""

    def __init__(self, predictor: BatchPredictor, layout: Layout) -> None:
        self.predictor = predictor
        self.layout = layout

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self.predictor(pad_ranks(texts, self.layout))

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        return self.columns(len(words))[1]

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Put an unknown word in the place of each word that is read."""
        tokens = pad_ranks([[word.rank for word in words]], self.layout)
        columns, _ = self.columns(len(words))
        without = np.repeat(tokens, len(columns), axis=0)
        without[np.arange(len(columns)), columns] = self.layout.unknown_token
        return self.predictor(np.concatenate([tokens, without]))

    def predict_prefixes(
        self, words: Sequence[Word], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        most, ends = self.layout.max_length, places + 1
        if self.layout.truncating == "post":
            ends = np.minimum(ends, most)  # no more is read
        ranks = [word.rank for word in words]
        return self.predict_probability([ranks[max(end - most, 0) : end] for end in ends])

    def columns(self, words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The columns of the row of a text of so many words that have a word, and which word."""
        position, inside = positions(np.array([words + 1]), self.layout)
        columns = np.flatnonzero(inside[0] & (position[0] > 0))  # position 0 is the start mark
        return columns, position[0, columns] - 1


def load_keras_model(path: Path) -> "keras.Model":
    """Load a model that Keras saved, to be asked."""
    return load_keras().saving.load_model(path, compile=False)


def load(model: Mapping[str, Any], paths: Mapping[str, Path]) -> KerasClassifier:
    """Load and compile a network by its settings, so that the first request need not wait."""
    ask = BatchPredictor(load_keras_model(paths[model["file"]]), model["batch_size"])
    ask(np.zeros((1, ask.length), np.int32))
    return KerasClassifier(ask, Layout(**model["layout"]))
