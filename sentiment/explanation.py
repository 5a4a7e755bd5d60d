"""What each word of a text did to a served model's answer, and the answer after each word."""

from typing import NamedTuple, cast

from sentiment.serving.pyfunc_model import SentimentModel, log_odds


class WordAttribution(NamedTuple):
    """What the word at `text[start:end]` did to the answer.

    `log_odds` are those of positive with the word less those without it: above zero, it speaks for
    positive.
    """

    start: int
    end: int
    log_odds: float


class Explanation(NamedTuple):
    """An answer, and what each word that the model knows and read did to it, in their order."""

    label: str
    probability: float
    words: list[WordAttribution]


class PrefixPrediction(NamedTuple):
    """The probability of positive for the text cut after the word at `text[start:end]`."""

    start: int
    end: int
    probability: float


def explain(model: SentimentModel, content: str) -> Explanation:
    """Say what each word did, by occlusion: the answer with it and without it.

    Source: Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks.
    """
    if hasattr(model, "explain"):  # code that earlier versions brought
        return cast(Explanation, model.explain(content))
    words = model.tokenize(content)
    answers = model.classifier.predict_without_each(words)
    effects = log_odds(answers[0]) - log_odds(answers[1:])
    contributions = [
        WordAttribution(words[place].start, words[place].end, float(effect))
        for place, effect in zip(model.classifier.positions_read(words), effects, strict=True)
    ]
    return Explanation(model.label_of(answers[0]), float(answers[0]), contributions)


def prefix_predictions(model: SentimentModel, content: str) -> list[PrefixPrediction]:
    """The model's answer after each word that it reads."""
    if hasattr(model, "trace"):  # code that earlier versions brought
        return cast(list[PrefixPrediction], model.trace(content))
    words = model.tokenize(content)
    places = model.classifier.positions_read(words)
    answers = model.classifier.predict_prefixes(words, places).tolist()
    return [
        PrefixPrediction(words[place].start, words[place].end, answer)
        for place, answer in zip(places, answers, strict=True)
    ]
