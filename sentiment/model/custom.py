"""The architecture `custom`: a network of one's own. Write yours in place of this one.

As it stands, it is the network of Kim 2014, *Convolutional Neural Networks for Sentence
Classification*: convolutions of several widths, and their maxima over all positions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.recurrent import start_from_vectors


def custom_features(
    tokens: Any,
    num_words: int,
    vectors: NDArray[np.float32] | None,
    *,
    embedding_units: int,
    widths: Sequence[int],
    filters: int,
    dropout: float,
) -> Any:
    """Return the features of texts, from which a last layer predicts the labels.

    Use only Keras' own layers and operations: a version of the model contains no code of this file.
    The arguments after the third are the entries of `network`, none of which has a default.

    Args:
        tokens: token ids, shape (batch, length), int32. 0 is padding.
        num_words: number of token ids.
        vectors: the word vector of each token id, shape (num_words, size), float32, or None.
        embedding_units: size of a word vector, if there are no pretrained ones.
        widths: numbers of words that a filter reads.
        filters: number of filters of each width.
        dropout: share of the features that are dropped in training.

    Returns:
        Shape (batch, features), float32.
    """
    import keras

    size = embedding_units if vectors is None else vectors.shape[1]
    embedding = keras.layers.Embedding(num_words, size, name="embedding")
    words = embedding(tokens)
    if vectors is not None:
        start_from_vectors(embedding, vectors)
    maxima = []
    for width in widths:
        convolution = keras.layers.Conv1D(filters, width, padding="same", activation="relu")
        maxima.append(keras.layers.GlobalMaxPooling1D()(convolution(words)))
    features = keras.layers.Concatenate()(maxima) if len(maxima) > 1 else maxima[0]
    return keras.layers.Dropout(dropout)(features)
