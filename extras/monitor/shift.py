"""How texts differ from those of a profile, and what that may mean for a model's accuracy."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from extras.common.significance import CONFIDENCE, Interval
from sentiment import profile
from sentiment.section import Section

Quantity = Literal["words", "unknown", "truncated", "positive", "confidence", "word_use"]
Texts = Sequence[NDArray[np.int64]]  # ranks of the words of each


class MonitorOptions(Section):
    least: int = Field(ge=1)
    false_alarms: float = Field(gt=0, lt=1)
    sample: int = Field(ge=100)
    words: int = Field(ge=0)
    floors: dict[Quantity, float]
    least_error: float = Field(ge=0, le=1)
    widest: float = Field(ge=0, le=1)


def confidence(positive: pd.Series, probability: pd.Series) -> pd.Series:
    """The probability of the class that is answered."""
    return probability.where(positive, 1 - probability)


def effects(
    seen: pd.DataFrame, words: Texts, described: Mapping[str, Any], options: MonitorOptions
) -> pd.DataFrame:
    """Compare texts, see `extras.monitor.window.collect`, with a profile; `words` may be empty.

    Returns:
        A row for each quantity, in its unit. Unchanged texts of the same number are off by `chance`
        at most, that of all quantities together (Bonferroni): of a mean, by the deviation of test
        texts; of words, by how far samples of these are apart. An effect beyond that, and beyond
        the `floor`, is an `alarm`.
    """
    positive = seen["probability"] > described["threshold"]
    answers = {"positive": positive, "confidence": confidence(positive, seen["probability"])}
    numbers = seen.drop(columns="probability").assign(**answers)
    test = described["test"]
    use = described["document_frequencies"]
    z = norm.ppf(1 - options.false_alarms / 2 / (numbers.shape[1] + bool(words)))
    scale = z * math.sqrt(1 / len(seen) + 1 / described["texts"]["test"])
    rows = {name: (test[name][0], numbers[name].mean(), scale * test[name][1]) for name in numbers}
    if words:
        mean, deviation = use["distance"]
        chance = (mean + z * deviation) * math.sqrt(1 / len(words) + 1 / use["texts"])
        rows["word_use"] = (0.0, profile.total_variation_distance(*uses(words, described)), chance)
    table = pd.DataFrame.from_dict(rows, "index", columns=["expected", "found", "chance"])
    table.insert(2, "effect", table["found"] - table["expected"])
    table["floor"] = pd.Series(options.floors)
    table.loc["words", "floor"] *= test["words"][0]
    table["alarm"] = table["effect"].abs() > table[["chance", "floor"]].max(axis=1)
    return table.rename_axis("quantity")


def uses(words: Texts, described: Mapping[str, Any]) -> list[NDArray[np.int64]]:
    """How many texts have each word, found and expected, of those that the profile has."""
    expected = np.array(described["document_frequencies"]["counts"])
    return [profile.document_frequencies(words) * (expected > 0), expected]


def moved(
    words: Texts, names: Sequence[str], described: Mapping[str, Any], most: int
) -> pd.DataFrame:
    """The words that moved most, and the share of texts, `expected` and `found`; names by rank."""
    found, expected = uses(words, described)
    apart = found / max(found.sum(), 1) - expected / max(expected.sum(), 1)
    shares = {
        "expected": expected / described["document_frequencies"]["texts"],
        "found": found / len(words),
    }
    order = np.argsort(-np.abs(apart), kind="stable")[: min(most, len(names))]
    table = pd.DataFrame(shares).iloc[order]
    return table.assign(word=[names[at] for at in table.index])


def estimate(described: Mapping[str, Any], mean_confidence: float) -> float:
    """The accuracy on the test texts, less what the mean confidence has lost since.

    Source: Guillory et al. 2021, Predicting with Confidence on Unseen Distributions.
    """
    return float(described["accuracy"] + mean_confidence - described["test"]["confidence"][0])


def plausible(
    middle: float, texts: int, errors: Collection[float], options: MonitorOptions
) -> Interval | None:
    """The range of the accuracy on so many texts; None if nobody knows how wide, or it is too wide.

    It has chance, and the greatest of the `errors` on labelled files, but `least_error` at least.
    """
    middle = min(max(middle, 0.0), 1.0)
    chance = norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(middle * (1 - middle) / texts)
    half = math.hypot(chance, max([options.least_error, *errors]))
    if not errors or half > options.widest:
        return None
    return Interval(max(middle - half, 0), min(middle + half, 1))
