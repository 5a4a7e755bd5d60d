"""A profile describes texts without holding any of them."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sentiment import profile
from sentiment.profile import ReferenceProfile
from sentiment.tokenizer import ReadLimits, Reviews, encode
from tests.project import Project

RANKS = {"a": 1, "fine": 2, "film": 3, "rare": 4}
READS = ReadLimits(max_rank=3, max_words=4)


def reviews(lists: list[list[int]]) -> Reviews:
    return Reviews.from_lists(lists, np.arange(len(lists)) % 2)


def random_reviews(count: int, words: int, seed: int) -> Reviews:
    """Return reviews whose words are as unequally frequent as a language's."""
    drawn = np.random.default_rng(seed).zipf(1.3, (count, words)) % 3000 + 1
    return reviews(drawn.tolist())


def no_words_dropped(texts: Reviews) -> NDArray[np.int64]:
    return np.zeros(len(texts), np.int64)


@pytest.fixture(scope="module")
def small_profile() -> ReferenceProfile:
    """Return the profile of two reviews."""
    rows = [("negative", "positive", 0.75), ("positive", "negative", 0.125)]
    predictions = pd.DataFrame(rows, columns=["actual", "predicted", "probability"])
    test = reviews([[1, 2], [1, 2]])
    return profile.build_profile(test, test, np.array([0, 2]), predictions, READS, "keras", 0.5)


def test_statistics_of_reviews_equal_those_of_served_texts() -> None:
    texts = ["a fine film", "A rare, UNHEARD film", "a fine fine film", "a fine fine rare film", ""]
    encoded = [encode(text, RANKS) for text in texts]
    dropped = np.array([text.word_count - len(text.ranks) for text in encoded])
    numbers = profile.text_statistics(reviews([text.ranks for text in encoded]), dropped, READS)
    assert numbers["words"].tolist() == [text.word_count for text in encoded] == [3, 4, 4, 5, 0]
    assert (numbers["unknown"] * numbers["words"]).tolist() == [*map(READS.count_unknown, encoded)]
    assert numbers["truncated"].tolist() == [*map(READS.is_truncated, encoded)]
    assert numbers["unknown"].tolist() == [0, 0.5, 0, 0.2, 0]


def test_probability_of_the_threshold_itself_is_negative() -> None:
    numbers = profile.prediction_statistics(np.array([0.25, 0.5, 0.75]), 0.5)
    assert numbers["positive"].tolist() == [False, False, True]


def test_profile_has_mean_and_standard_deviation(small_profile: ReferenceProfile) -> None:
    statistics = {
        name: (statistic.mean, statistic.deviation)
        for name, statistic in small_profile.statistics.items()
    }
    assert statistics == {
        "words": (3, 1),
        "unknown": (0.25, 0.25),
        "truncated": (0, 0),
        "positive": (0.5, 0.5),
        "confidence": (0.8125, 0.0625),
    }


def test_profile_has_histograms_of_length_and_probability(small_profile: ReferenceProfile) -> None:
    words = small_profile.histograms["words"]
    assert {
        edge: count for edge, count in zip(words.edges, words.counts, strict=False) if count
    } == {2: 1, 4: 1}
    probability = small_profile.histograms["probability"]
    assert probability.counts[2] == 1  # 0.10 to 0.15
    assert probability.counts[15] == 1  # 0.75 to 0.80
    assert sum(probability.counts) == 2


def test_values_beyond_the_edges_are_in_the_first_or_last_bin() -> None:
    histogram = profile.count_in_bins([-1, 0, 1, 2, 9], [0, 1, 2])
    assert histogram.counts == [2, 3]


def test_profile_survives_json(small_profile: ReferenceProfile) -> None:
    document = json.loads(json.dumps(small_profile.model_dump()))
    assert ReferenceProfile.model_validate(document) == small_profile


def test_words_are_counted_by_rank_and_all_others_together() -> None:
    counts = profile.count_words([[1, 1, 3], [], [5000]], np.array([2, 0, 0])).toarray()
    assert counts.shape == (3, profile.MAX_WORDS + 1)
    assert counts[0, :4].tolist() == [2, 2, 0, 1]
    assert counts[1].sum() == 0
    assert counts[2, 0] == counts[2].sum() == 1


def test_words_of_fewer_than_ten_training_texts_are_not_counted_on_their_own() -> None:
    train = reviews([[1, 1, 2]] * 9 + [[1, profile.MAX_WORDS, profile.MAX_WORDS + 1]] * 10)
    test = reviews([[1, 1, 2, profile.MAX_WORDS + 1], [3]])
    use = profile.describe_word_use(train, test, np.array([4, 0]))
    assert (use.ranks, use.counts) == ([1, profile.MAX_WORDS], [2, 0])
    assert use.other_words == 2 + 1 + 4


@pytest.mark.parametrize(("count", "words"), [(100, 8), (5000, 50)])
def test_unchanged_texts_are_no_farther_than_random_samples(count: int, words: int) -> None:
    """Use short texts, too: their rare words must not make large windows look different."""
    test = random_reviews(10_000, words, seed=0)
    use = profile.describe_word_use(
        random_reviews(10_000, words, seed=99), test, no_words_dropped(test)
    )
    scale = np.sqrt(1 / count + 1 / use.texts)
    distances = []
    for seed in range(1, 11):
        window = random_reviews(count, words, seed)
        totals = profile.count_words(window, no_words_dropped(window)).sum(axis=0)
        current = profile.merge_other_words(totals, np.array(use.ranks))
        reference = np.array([*use.counts, use.other_words])
        distances.append(profile.total_variation_distance(current, reference))
    assert np.mean(distances) < (use.distance.mean + use.distance.deviation) * scale
    assert np.max(distances) > 0.8 * use.distance.mean * scale  # the limit is not a loose one


@pytest.mark.slow
def test_registered_model_has_the_profile_of_its_texts(own_texts: Project) -> None:
    """Words that the training set lacks are unknown, so that unchanged texts do not have more."""
    (path,) = own_texts.path.glob("mlruns/*/*/artifacts/versions/1/profile.json")
    assert path.stat().st_size < 100_000
    data = own_texts.path / "data" / "fetch"
    dropped = np.load(data / "test_dropped.npy")
    words = np.diff(np.load(data / "test_offsets.npy")) + dropped
    reference = ReferenceProfile.model_validate(json.loads(path.read_bytes()))
    assert (reference.tokenizer, reference.threshold) == ("unicode", 0.5)
    assert reference.texts == len(words)
    assert reference.statistics["words"].mean == pytest.approx(words.mean())
    assert reference.statistics["unknown"].mean >= (dropped / words).mean()
