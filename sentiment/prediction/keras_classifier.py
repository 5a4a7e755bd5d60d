"""Predict with a network that Keras saved.

All batches have the same shape. Matrix products of another shape may be summed in another order, so
a review's probability could otherwise depend, in its last bits, on the batch that it is in. The
evaluation and the registered model both predict like this, so that their probabilities are equal,
not just close. Larger batches are used only after a test that they are summed in the same order,
which depends on the shape and never on the values.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import load_keras, usable_cores
from .tokenizer import UNKNOWN_TOKEN, Layout, Word, pad_ranks, positions

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

DIRECTIONS = ("forward_layer", "backward_layer")  # attributes of a bidirectional layer
BATCH_SIZE = 5  # one text takes as long as a full batch
LARGE_BATCH_SIZE = 128  # takes half the time of smaller batches for each review
LARGE_INPUT = 5000  # number of reviews from which on compiling for larger batches pays
PROBE_SIZE = 1024  # reviews that show whether larger batches give the same bits


class CompiledModel(NamedTuple):
    """A model compiled for batches of `size` reviews.

    Attributes:
        size: number of reviews in a batch.
        call: from token ids, shape (size, length), to probabilities, shape (size, 1).
    """

    size: int
    call: Callable[[NDArray[np.int32]], "tf.Tensor"]

    def predict(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return each review's probability, see `BatchPredictor`. The last batch is padded."""
        batches = [tokens[start : start + self.size] for start in range(0, len(tokens), self.size)]
        if not batches:
            return np.zeros(0, np.float32)
        if len(batches) == 1:
            return self.predict_batch(tokens)
        # A batch keeps one core busy. Batches that run in parallel give the same bits.
        with ThreadPoolExecutor(usable_cores()) as pool:
            return np.concatenate(list(pool.map(self.predict_batch, batches)))

    def predict_batch(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of each of at most `size` reviews, shape (reviews,)."""
        padded = np.zeros((self.size, tokens.shape[1]), np.int32)
        padded[: len(tokens)] = tokens
        probabilities: NDArray[np.float32] = self.call(padded).numpy()
        return probabilities[: len(tokens), 0]


class BatchPredictor:
    """A model compiled by XLA for batches of `BATCH_SIZE` reviews.

    Many reviews are predicted in larger batches, if a test shows that this gives the same bits.

    Args:
        model: from token ids, shape (batch, length), to probabilities, shape (batch, 1). It does
            not use cuDNN from now on: XLA cannot compile cuDNN's kernels.
    """

    def __init__(self, model: "keras.Model") -> None:
        for outer in model.layers:
            for layer in (outer, *(getattr(outer, name, outer) for name in DIRECTIONS)):
                if hasattr(layer, "use_cudnn"):
                    layer.use_cudnn = False
        self.model = model
        self.length = model.input_shape[1]
        self._compiled = self._compile(BATCH_SIZE)
        self._compiled_large: CompiledModel | None = None

    def __call__(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability that each review is positive, shape (reviews,).

        Args:
            tokens: token ids of any integer type, shape (reviews, length).
        """
        if len(tokens) < LARGE_INPUT:
            return self._compiled.predict(tokens)
        if self._compiled_large is None:
            large = self._compile(LARGE_BATCH_SIZE)
            probe = tokens[:PROBE_SIZE]
            is_same = np.array_equal(large.predict(probe), self._compiled.predict(probe))
            self._compiled_large = large if is_same else self._compiled
        return self._compiled_large.predict(tokens)

    def _compile(self, size: int) -> CompiledModel:
        import tensorflow as tf

        call = tf.function(
            lambda tokens: self.model(tokens, training=False),
            input_signature=[tf.TensorSpec((size, self.length), "int32")],
            jit_compile=True,
        )
        # The concrete function does not check its arguments, which saves 0.15 ms a call.
        return CompiledModel(size, call.get_concrete_function())


class KerasClassifier:
    """A Keras model that predicts texts, given as their known words.

    Args:
        model: see `BatchPredictor`.
        layout: how a text becomes a row of token ids.
    """

    def __init__(self, model: "keras.Model", layout: Layout) -> None:
        self.predictor = BatchPredictor(model)
        self.layout = layout

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the probability of positive of each text, given as word ranks; shape (texts,)."""
        return self.predictor(pad_ranks(texts, self.layout))

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Return the ascending positions of the words that the model reads, shape (read,)."""
        return self.columns(len(words))[1]

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Return the probability of the text, then without each read word, shape (1 + read,).

        An unknown word replaces a word, so that the others keep their positions.
        """
        tokens = pad_ranks([[word.rank for word in words]], self.layout)
        columns, _ = self.columns(len(words))
        without = np.repeat(tokens, len(columns), axis=0)
        without[np.arange(len(columns)), columns] = UNKNOWN_TOKEN
        return self.predictor(np.concatenate([tokens, without]))

    def predict_prefixes(
        self, words: Sequence[Word], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the probability of the text up to and including the word at each position.

        The cost is linear in the number of words and in the number of positions.

        Returns:
            Shape (positions,).
        """
        max_length = self.layout.max_length
        ends = positions + 1
        if self.layout.truncating == "post":
            ends = np.minimum(ends, max_length)  # later words are not read
        ranks = [word.rank for word in words]
        # Earlier words are cut off here, so that the cost does not grow with their number.
        return self.predict_probability([ranks[max(end - max_length, 0) : end] for end in ends])

    def columns(self, words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the columns of a row that hold a word, and the position of each column's word.

        Args:
            words: number of words of the text.

        Returns:
            Two arrays of shape (read,).
        """
        position, inside = positions(np.array([words + 1]), self.layout)
        columns = np.flatnonzero(inside[0] & (position[0] > 0))  # position 0 is the start token
        return columns, position[0, columns] - 1


def load_keras_model(path: Path) -> "keras.Model":
    """Load a model that Keras saved, for predictions only."""
    return load_keras().saving.load_model(path, compile=False)
