"""An alarm is an effect beyond chance and beyond the smallest one that matters."""

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.typing import NDArray

from extras.monitor import drift
from extras.monitor.drift import Effect, MinEffects, MonitorConfig
from extras.monitor.run import CONFIG_FILE
from sentiment.errors import UserError
from sentiment.profile import ReferenceProfile, build_profile, count_words
from sentiment.tokenizer import ReadLimits, Reviews
from tests.project import ROOT, merge_changes
from workflow.params import load_yaml, validate

WORDS = [f"w{rank}" for rank in range(1, 3001)]
LIMITS = ReadLimits(max_rank=2900, max_words=100)


class Texts(NamedTuple):
    """Texts with the predictions of a model.

    Attributes:
        table: see `extras.monitor.window.Window.to_table`.
        ranks: the ranks of the words of each text.
    """

    table: pd.DataFrame
    ranks: list[NDArray[np.int64]]

    @property
    def word_counts(self) -> scipy.sparse.csr_array:
        return count_words(self.ranks, np.zeros(len(self.ranks), np.int64))


def draw_texts(count: int, seed: int, mean_words: int = 60, shift: int = 0) -> Texts:
    """Draw texts of random lengths.

    Args:
        count: number of texts.
        seed: of the random numbers.
        mean_words: the mean length.
        shift: number of ranks by which the distribution of words is moved.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 2 * mean_words, count)
    ranks = [(rng.zipf(1.3, length) + shift - 1) % 3000 + 1 for length in lengths]
    unknown = [np.mean(text > LIMITS.max_rank) for text in ranks]
    table = pd.DataFrame(
        {
            "words": lengths,
            "unknown": unknown,
            "truncated": lengths > LIMITS.max_words,
            "probability": rng.beta(0.4, 0.4, count),
        }
    )
    return Texts(table.astype(float), ranks)


def profile_of(texts: Texts) -> ReferenceProfile:
    count = len(texts.ranks)
    reviews = Reviews.from_lists([text.tolist() for text in texts.ranks], np.arange(count) % 2)
    return build_profile(reviews, reviews, np.zeros(1, np.int64), texts.table, LIMITS, "keras", 0.5)


@pytest.fixture(scope="module")
def config() -> MonitorConfig:
    return load_yaml(MonitorConfig, ROOT / CONFIG_FILE)


@pytest.fixture(scope="module")
def profile() -> ReferenceProfile:
    """The profile of 4,000 texts."""
    return profile_of(draw_texts(4000, seed=0))


def measure(texts: Texts, profile: ReferenceProfile, config: MonitorConfig) -> dict[str, Effect]:
    effects = drift.measure_effects(texts.table, texts.word_counts, profile, config)
    return {effect.quantity: effect for effect in effects}


def alarms(texts: Texts, profile: ReferenceProfile, config: MonitorConfig) -> set[str]:
    return {name for name, effect in measure(texts, profile, config).items() if effect.alarm}


@pytest.mark.parametrize("mean_words", [6, 60])
def test_unchanged_texts_raise_no_alarm(mean_words: int, config: MonitorConfig) -> None:
    reference = profile_of(draw_texts(4000, seed=0, mean_words=mean_words))
    for seed, count in enumerate([100, 150, 300, 1000, 3000] * 6, 1):
        assert alarms(draw_texts(count, seed, mean_words), reference, config) == set()


def test_chance_is_exceeded_as_often_as_the_config_allows(
    profile: ReferenceProfile, config: MonitorConfig
) -> None:
    no_min_effects = MinEffects(**dict.fromkeys(MinEffects.model_fields, 0.0))
    often = config.model_copy(update={"false_alarm_rate": 0.2, "min_effects": no_min_effects})
    windows = (draw_texts(200, seed) for seed in range(1, 101))
    count = sum(bool(alarms(window, profile, often)) for window in windows)
    assert 5 <= count <= 30


def test_each_change_is_an_alarm_of_its_quantity(
    profile: ReferenceProfile, config: MonitorConfig
) -> None:
    texts = draw_texts(400, seed=1)

    def alarms_after(**changes: Any) -> set[str]:
        changed = Texts(texts.table.assign(**changes), texts.ranks)
        return alarms(changed, profile, config)

    probability = texts.table["probability"]
    assert alarms_after(probability=np.where(probability > 0.5, 0.99, 0.01)) == {"confidence"}
    assert "positive" in alarms_after(probability=1 - probability / 2)
    assert alarms_after(unknown=texts.table["unknown"] + 0.03) == {"unknown"}
    assert alarms_after(truncated=0.0) == {"truncated"}
    assert alarms_after(words=texts.table["words"] * 1.2) == {"words"}


def test_other_words_are_an_alarm(profile: ReferenceProfile, config: MonitorConfig) -> None:
    texts = draw_texts(400, seed=1)
    shifted = draw_texts(400, seed=1, shift=5)
    changed = Texts(texts.table, shifted.ranks)
    assert alarms(changed, profile, config) == {"word_use"}


def test_words_that_the_profile_does_not_have_are_at_the_greatest_distance(
    profile: ReferenceProfile, config: MonitorConfig
) -> None:
    texts = draw_texts(100, seed=1)
    foreign = Texts(texts.table, [np.full(20, 2999)] * 100)
    assert measure(foreign, profile, config)["word_use"].effect > 0.9


@pytest.mark.parametrize("count", [100, 300, 1000])
def test_length_alone_is_no_change_of_word_use(
    count: int, profile: ReferenceProfile, config: MonitorConfig
) -> None:
    for seed in range(1, 11):
        for mean_words in (6, 200):
            effect = measure(draw_texts(count, seed, mean_words), profile, config)["word_use"]
            assert not effect.alarm


def test_longer_texts_do_not_count_as_more_texts(config: MonitorConfig) -> None:
    """A text about one subject repeats its words, so that more of them say little more."""

    def draw_repetitive_texts(count: int, words: int, seed: int) -> Texts:
        rng = np.random.default_rng(seed)
        subjects = rng.zipf(1.3, (count, 4)) % 3000 + 1
        ranks = [rng.choice(subject, words) for subject in subjects]
        return Texts(draw_texts(count, seed).table, ranks)

    reference = profile_of(draw_repetitive_texts(2000, words=8, seed=0))
    for seed in range(1, 6):
        longer = draw_repetitive_texts(100, words=200, seed=seed)
        assert not measure(longer, reference, config)["word_use"].alarm


def test_min_effect_of_length_is_relative(profile: ReferenceProfile, config: MonitorConfig) -> None:
    effect = measure(draw_texts(100, seed=1), profile, config)["words"]
    assert effect.min_effect == pytest.approx(config.min_effects.words * effect.reference)


@pytest.mark.parametrize(
    ("count", "more", "limit"), [(3000, 0.045, "chance_limit"), (100, 0.1, "min_effect")]
)
def test_effect_beyond_only_one_limit_is_no_alarm(
    profile: ReferenceProfile, config: MonitorConfig, count: int, more: float, limit: str
) -> None:
    texts = draw_texts(count, seed=2)
    share = profile.statistics["positive"].mean + more
    is_positive = np.arange(count) < round(share * count)
    texts.table["probability"] = np.where(is_positive, 0.9, 0.1)
    effect = measure(texts, profile, config)["positive"]
    assert effect.effect > getattr(effect, limit)
    assert not effect.alarm


def test_word_use_is_left_out_without_words(
    profile: ReferenceProfile, config: MonitorConfig
) -> None:
    texts = draw_texts(100, seed=1)
    without_texts = drift.measure_effects(texts.table, None, profile, config)
    empty = count_words([[]] * 100, np.zeros(100, np.int64))
    without_words = drift.measure_effects(texts.table, empty, profile, config)
    for effects in (without_texts, without_words):
        assert "word_use" not in {effect.quantity for effect in effects}


def test_words_that_changed_most_are_named_with_their_shares(profile: ReferenceProfile) -> None:
    texts = draw_texts(300, seed=1)
    ranks = [np.append(text[text != 2], [40] * 10) for text in texts.ranks]
    counts = count_words(ranks, np.zeros(300, np.int64))
    first, second = drift.find_changed_words(counts, WORDS, profile, max_words=2)
    assert {first.word, second.word} == {"w2", "w40"}
    by_word = {word.word: word for word in (first, second)}
    assert by_word["w2"].current == 0
    all_words = np.concatenate(ranks)
    assert by_word["w40"].current == pytest.approx(np.mean(all_words == 40))
    use = profile.word_use
    total = sum(use.counts) + use.other_words
    assert by_word["w2"].reference == pytest.approx(use.counts[use.ranks.index(2)] / total)


def test_words_of_shorter_texts_have_the_same_shares(profile: ReferenceProfile) -> None:
    """Compare shares of all words: shares of texts would rank frequent words first."""
    short = draw_texts(2000, seed=1, mean_words=6)
    changed = drift.find_changed_words(short.word_counts, WORDS, profile, max_words=10)
    for word in changed:
        assert word.current == pytest.approx(word.reference, abs=0.01)


def test_config_needs_every_min_effect(config: MonitorConfig) -> None:
    document = config.model_dump()
    del document["min_effects"]["truncated"]
    with pytest.raises(UserError, match=r"min_effects\.truncated: missing"):
        validate(MonitorConfig, document, "monitor.yaml")


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("min_effects.word_usage", {"min_effects": {"word_usage": 0.1}}),
        ("min_effects.words", {"min_effects": {"words": float("nan")}}),
        ("min_effects.unknown", {"min_effects": {"unknown": -0.1}}),
        ("max_unreadable", {"max_unreadable": 1.5}),
    ],
)
def test_config_is_checked(config: MonitorConfig, key: str, changed: dict[str, Any]) -> None:
    document = merge_changes(config.model_dump(), changed)
    with pytest.raises(UserError, match=re.escape(key)):
        validate(MonitorConfig, document, "monitor.yaml")
