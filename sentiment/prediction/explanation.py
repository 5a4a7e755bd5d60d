"""Explain a registered model's prediction by the attribution of each word."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..text.tokenizer import Word
from .keras_classifier import KerasClassifier
from .probabilities import predicted_indices

MIN_PROBABILITY = 1e-7  # closer to 0 or 1, float32 cannot tell probabilities apart


class WordAttribution(NamedTuple):
    """The effect of the word at `text[start:end]` on the prediction.

    Attributes:
        start: position of the word's first character.
        end: position after the word's last character.
        log_odds: log-odds of the explained label with the word, minus those without it. Above
            zero, the word speaks for that label.
    """

    start: int
    end: int
    log_odds: float


class Explanation(NamedTuple):
    """A prediction, and the attributions of the known words that the model reads, in order.

    Attributes:
        label: the explained label: the predicted one, or the one that was asked for.
        probability: the probability of this label.
        probabilities: the probability of each label.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    words: list[WordAttribution]


def attribute_by_occlusion(
    classifier: KerasClassifier,
    words: Sequence[Word],
    label_names: Sequence[str],
    threshold: float,
    label_name: str | None = None,
) -> Explanation:
    """Attribute a prediction to words: compare it with the predictions without each word.

    Source: Zeiler and Fergus 2014, *Visualizing and Understanding Convolutional Networks*.

    Args:
        label_name: the label to explain. None: the predicted one.
    """
    probabilities = classifier.predict_without_each(words)
    if label_name is None:
        label = int(predicted_indices(probabilities[:1], threshold)[0])
    else:
        label = label_names.index(label_name)
    of_label = log_odds(probabilities, label)
    effects = of_label[0] - of_label[1:]
    attributions = [
        WordAttribution(words[position].start, words[position].end, float(effect))
        for position, effect in zip(classifier.positions_read(words), effects, strict=True)
    ]
    return Explanation(
        label=label_names[label],
        probability=float(probabilities[0, label]),
        probabilities=dict(zip(label_names, probabilities[0].tolist(), strict=True)),
        words=attributions,
    )


def log_odds(probabilities: NDArray[np.float32], label: int) -> NDArray[np.float64]:
    """Return the log-odds (natural logarithm) of a label, shape (texts,).

    Args:
        probabilities: shape (texts, labels).
        label: the index of the label.
    """
    of_label = probabilities[:, label].astype(np.float64)
    # Not 1 - of_label: float32 represents small probabilities much more exactly than large ones.
    of_others = np.delete(probabilities, label, axis=1).astype(np.float64).sum(axis=1)
    clipped_label = np.maximum(of_label, MIN_PROBABILITY)
    clipped_others = np.maximum(of_others, MIN_PROBABILITY)
    return np.asarray(np.log(clipped_label / clipped_others))
