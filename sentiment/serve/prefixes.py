"""Predict the beginnings of a text: up to each word that the model reads."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel


def predict_prefixes(model: "SentimentModel", text: str) -> NDArray[np.float32]:
    """Return the probabilities for the text up to and including each word that is read.

    The cost is linear in the number of words.

    Returns:
        Shape (read, labels).
    """
    words = model.known_words(text)
    ranks = [word.rank for word in words]
    classifier = model.classifier
    max_length = classifier.layout.max_length
    ends = classifier.positions_read(words) + 1
    if classifier.layout.truncating == "post":
        ends = np.minimum(ends, max_length)  # later words are not read
    # Earlier words are cut off here, so that the cost does not grow with their number.
    return classifier.predict([ranks[max(end - max_length, 0) : end] for end in ends])
