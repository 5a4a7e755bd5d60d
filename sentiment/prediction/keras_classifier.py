"""Predict with a model that Keras saved.

All batches have the same shape. Matrix products of another shape may be summed in another order, so
a review's probability could otherwise depend, in its last bits, on the batch that it is in. The
evaluation and the registered model both predict like this, so that their probabilities are equal,
not just close.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backend import load_keras, usable_cores
from ..text.padding import UNKNOWN_TOKEN, Layout, pad_ranks, sequence_positions
from ..text.tokenizer import Word
from .probabilities import label_probabilities

if TYPE_CHECKING:
    import keras

DIRECTIONS = ("forward_layer", "backward_layer")  # attributes of a bidirectional layer
# One text takes as long as a batch. A larger batch would take less time for each text of many, but
# more for a single one.
BATCH_SIZE = 8


class BatchPredictor:
    """A model compiled by XLA for batches of `BATCH_SIZE` reviews.

    Args:
        model: from token ids, shape (batch, length), to probabilities.
            It does not use cuDNN from now on: XLA cannot compile cuDNN's kernels.
    """

    def __init__(self, model: "keras.Model") -> None:
        import tensorflow as tf

        for outer in model.layers:
            for layer in (outer, *(getattr(outer, name, outer) for name in DIRECTIONS)):
                if hasattr(layer, "use_cudnn"):
                    layer.use_cudnn = False
        self.model = model
        self.length = model.input_shape[1]
        self.outputs = model.output_shape[1]
        compiled = tf.function(
            lambda tokens: model(tokens, training=False),
            input_signature=[tf.TensorSpec((BATCH_SIZE, self.length), "int32")],
            jit_compile=True,
        )
        # The concrete function does not check its arguments, which saves 0.15 ms a call.
        self._call = compiled.get_concrete_function()

    def __call__(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of each label, shape (reviews, labels).

        Args:
            tokens: token ids of any integer type, shape (reviews, length).
        """
        batches = [
            tokens[start : start + BATCH_SIZE] for start in range(0, len(tokens), BATCH_SIZE)
        ]
        if not batches:
            return label_probabilities(np.zeros((0, self.outputs), np.float32))
        if len(batches) == 1:
            return label_probabilities(self._predict_batch(tokens))
        # A batch keeps one core busy. Batches that run in parallel give the same bits.
        with ThreadPoolExecutor(usable_cores()) as pool:
            outputs = list(pool.map(self._predict_batch, batches))
        return label_probabilities(np.concatenate(outputs))

    def _predict_batch(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return the outputs for at most `BATCH_SIZE` reviews, shape (reviews, outputs)."""
        padded = np.zeros((BATCH_SIZE, self.length), np.int32)
        padded[: len(tokens)] = tokens
        outputs: NDArray[np.float32] = self._call(padded).numpy()
        return outputs[: len(tokens)]


class KerasClassifier:
    """A Keras model that predicts texts, given as their known words.

    Args:
        model: from token ids, shape (batch, length), to probabilities.
        layout: how a text becomes a row of token ids.
    """

    def __init__(self, model: "keras.Model", layout: Layout) -> None:
        self.predictor = BatchPredictor(model)
        self.layout = layout

    def predict(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the probability of each label of texts, shape (texts, labels).

        Args:
            texts: the word ranks of each.
        """
        return self.predictor(pad_ranks(texts, self.layout))

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Return the ascending positions of the words that the model reads, shape (read,)."""
        return self.word_columns(len(words))[1]

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Return the probabilities for the text, then without each word that is read.

        An unknown word replaces a word, so that the others keep their positions.

        Returns:
            Shape (1 + read, labels).
        """
        tokens = pad_ranks([[word.rank for word in words]], self.layout)
        word_columns, _ = self.word_columns(len(words))
        without = np.repeat(tokens, len(word_columns), axis=0)
        without[np.arange(len(word_columns)), word_columns] = UNKNOWN_TOKEN
        return self.predictor(np.concatenate([tokens, without]))

    def word_columns(self, word_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the columns of a row that hold a word, and the position of each column's word.

        Returns:
            Two arrays of shape (read,).
        """
        position, inside = sequence_positions(np.array([word_count + 1]), self.layout)
        is_word = inside[0] & (position[0] > 0)  # position 0 is the start token
        word_columns = np.flatnonzero(is_word)
        return word_columns, position[0, word_columns] - 1


def load_keras_model(path: Path) -> "keras.Model":
    """Load a model that Keras saved, for predictions only."""
    return load_keras().saving.load_model(path, compile=False)
