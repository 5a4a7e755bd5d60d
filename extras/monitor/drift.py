"""Measure how current texts differ from the reference profile of a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from sentiment.profile import (
    ReferenceProfile,
    merge_other_words,
    prediction_statistics,
    total_variation_distance,
)
from sentiment.section import Section

WORD_USE = "word_use"


class MinEffects(Section):
    """Effects up to which there is no alarm, see `monitor.yaml`."""

    words: float = Field(ge=0)
    unknown: float = Field(ge=0, le=1)
    truncated: float = Field(ge=0, le=1)
    positive: float = Field(ge=0, le=1)
    confidence: float = Field(ge=0, le=1)
    word_use: float = Field(ge=0, le=1)


class MonitorConfig(Section):
    """The content of `monitor.yaml`."""

    false_alarm_rate: float = Field(gt=0, lt=1)
    min_effects: MinEffects
    max_unreadable: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Effect:
    """The difference of a quantity between the current texts and the test texts.

    Attributes:
        quantity: name of the quantity.
        reference: the mean of the test texts.
        current: the mean of the current texts.
        effect: `current` less `reference`.
        chance_limit: the largest effect to expect from as many unchanged texts.
        min_effect: the effect up to which there is no alarm.
        alarm: whether the effect is beyond both.
    """

    quantity: str
    reference: float
    current: float
    effect: float
    chance_limit: float
    min_effect: float
    alarm: bool


@dataclass(frozen=True)
class ChangedWord:
    """A word, and its share of all words in the test texts and in the current texts."""

    word: str
    reference: float
    current: float


def measure_effects(
    texts: pd.DataFrame,
    word_counts: scipy.sparse.csr_array | None,
    profile: ReferenceProfile,
    config: MonitorConfig,
) -> list[Effect]:
    """Compare texts with a reference profile.

    All quantities together are beyond `chance_limit` in at most `false_alarm_rate` of the windows
    of unchanged texts. By Bonferroni's correction, each quantity gets an equal part. A mean varies
    normally, by the standard deviation of the test texts.

    Args:
        texts: see `extras.monitor.window.Window.to_table`, at least one text.
        word_counts: see `sentiment.profile.count_words`, of some of the texts. None if the texts
            themselves are not known.
        profile: the reference profile.
        config: the content of `monitor.yaml`.

    Returns:
        The effect of each quantity, in its unit. Without words, `word_use` is left out.
    """
    values: dict[str, Any] = {
        "words": texts["words"],
        "unknown": texts["unknown"],
        "truncated": texts["truncated"],
        **prediction_statistics(texts["probability"].to_numpy(), profile.threshold),
    }
    z = float(norm.ppf(1 - config.false_alarm_rate / 2 / (len(values) + 1)))
    scale = z * math.sqrt(1 / len(texts) + 1 / profile.texts)
    effects = []
    for name, current in values.items():
        reference = profile.statistics[name]
        min_effect = getattr(config.min_effects, name)
        if name == "words":
            min_effect *= reference.mean
        effects.append(
            _effect(
                name,
                reference.mean,
                float(np.mean(current)),
                scale * reference.deviation,
                min_effect,
            )
        )
    if word_counts is not None and word_counts.sum() > 0:
        distance = total_variation_distance(*_comparable_counts(word_counts, profile))
        chance_limit = _chance_limit_of_distance(word_counts, profile, z)
        effects.append(_effect(WORD_USE, 0.0, distance, chance_limit, config.min_effects.word_use))
    return effects


def _effect(
    quantity: str, reference: float, current: float, chance_limit: float, min_effect: float
) -> Effect:
    effect = current - reference
    alarm = abs(effect) > max(chance_limit, min_effect)
    return Effect(quantity, reference, current, effect, chance_limit, min_effect, alarm)


def _chance_limit_of_distance(
    word_counts: scipy.sparse.csr_array, profile: ReferenceProfile, z: float
) -> float:
    """Return the largest distance to expect of unchanged texts.

    Shorter texts have fewer words, so the distance varies more. They therefore count as fewer
    texts: as the number of test texts with as many words. Longer texts do not count as more,
    because the words of a text vary together, see `sentiment.profile.resample_distances`.
    """
    use = profile.word_use
    words_per_text = (sum(use.counts) + use.other_words) / use.texts
    texts = min(word_counts.shape[0], word_counts.sum() / words_per_text)
    return (use.distance.mean + z * use.distance.deviation) * math.sqrt(1 / texts + 1 / use.texts)


def _comparable_counts(
    word_counts: scipy.sparse.csr_array, profile: ReferenceProfile
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how often each word of the profile, and all others, occur: currently, and in it."""
    use = profile.word_use
    current = merge_other_words(word_counts.sum(axis=0), np.array(use.ranks, np.int64))
    return current, np.array([*use.counts, use.other_words])


def find_changed_words(
    word_counts: scipy.sparse.csr_array,
    words: Sequence[str],
    profile: ReferenceProfile,
    max_words: int,
) -> list[ChangedWord]:
    """Return the words that contribute most to the distance of `word_use`, the first one most.

    Args:
        word_counts: see `measure_effects`.
        words: the words of the word index, by rank.
        profile: the reference profile.
        max_words: the greatest number of words to return.
    """
    current, reference = _comparable_counts(word_counts, profile)
    current_shares = current / max(current.sum(), 1)
    reference_shares = reference / max(reference.sum(), 1)
    differences = np.abs(current_shares - reference_shares)[:-1]  # without the other words
    order = np.argsort(-differences, kind="stable")[:max_words]
    return [
        ChangedWord(
            word=words[profile.word_use.ranks[at] - 1],
            reference=float(reference_shares[at]),
            current=float(current_shares[at]),
        )
        for at in order
    ]
