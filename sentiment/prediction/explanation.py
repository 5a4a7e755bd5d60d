"""Explain a registered model's prediction by the attribution of each word and by prefixes."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .labels import label_probabilities

if TYPE_CHECKING:
    from .pyfunc_model import SentimentModel


MIN_PROBABILITY = 1e-7  # closer to 0 or 1, float32 cannot tell probabilities apart


class WordAttribution(NamedTuple):
    """The effect of the word at `text[start:end]` on the prediction.

    Attributes:
        start: position of the word's first character.
        end: position after the word's last character.
        log_odds: log-odds of positive with the word, minus those without it. Above zero, the word
            speaks for positive.
    """

    start: int
    end: int
    log_odds: float


class Explanation(NamedTuple):
    """A prediction, and the attributions of the known words that the model reads, in order.

    Attributes:
        label: the predicted label.
        probability: probability of the label.
        words: the attributions.
    """

    label: str
    probability: float
    words: list[WordAttribution]


class PrefixPrediction(NamedTuple):
    """The probability of positive for the text up to the end of the word at `text[start:end]`."""

    start: int
    end: int
    probability: float


def explain(model: "SentimentModel", text: str) -> Explanation:
    """Attribute a prediction to words by occlusion: compare it with predictions without each word.

    Source: Zeiler and Fergus 2014, *Visualizing and Understanding Convolutional Networks*.
    """
    words = model.tokenize(text)
    probabilities = model.classifier.predict_without_each(words)
    effects = log_odds(probabilities[0]) - log_odds(probabilities[1:])
    attributions = [
        WordAttribution(words[position].start, words[position].end, float(effect))
        for position, effect in zip(model.classifier.positions_read(words), effects, strict=True)
    ]
    label = model.label_of(probabilities[0])
    return Explanation(label, label_probabilities(probabilities[0])[label], attributions)


def prefix_predictions(model: "SentimentModel", text: str) -> list[PrefixPrediction]:
    """Return the prediction after each word that the model reads."""
    words = model.tokenize(text)
    positions = model.classifier.positions_read(words)
    probabilities = model.classifier.predict_prefixes(words, positions).tolist()
    return [
        PrefixPrediction(words[position].start, words[position].end, probability)
        for position, probability in zip(positions, probabilities, strict=True)
    ]


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-odds (natural logarithm) of probabilities of any shape."""
    clipped = np.clip(probability.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.log(clipped / (1 - clipped))
