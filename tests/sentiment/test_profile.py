"""A profile describes texts without holding any of them."""

import json

import numpy as np
import pandas as pd
import pytest

from sentiment import profile
from sentiment.tokenizer import ReadLimits, Reviews, encode
from tests.project import Project

RANKS = {"a": 1, "fine": 2, "film": 3, "rare": 4}
READS = ReadLimits(max_rank=3, max_words=4)


def reviews(lists: list[list[int]]) -> Reviews:
    return Reviews.from_lists(lists, np.arange(len(lists)) % 2)


def random_reviews(count: int, seed: int) -> Reviews:
    """Reviews of 50 words, as unequally frequent as a language's."""
    drawn = np.random.default_rng(seed).zipf(1.3, (count, 50)) % 3000 + 1
    return reviews(drawn.tolist())


def test_statistics_of_reviews_equal_those_of_served_texts() -> None:
    texts = ["a fine film", "A rare, UNHEARD film", "a fine fine rare film", ""]
    encoded = [encode(text, RANKS) for text in texts]
    dropped = np.array([text.word_count - len(text.ranks) for text in encoded])
    numbers = profile.text_statistics(reviews([text.ranks for text in encoded]), dropped, READS)
    assert numbers["words"].tolist() == [text.word_count for text in encoded] == [3, 4, 5, 0]
    assert (numbers["unknown"] * numbers["words"]).tolist() == [*map(READS.count_unknown, encoded)]
    assert numbers["truncated"].tolist() == [*map(READS.truncates, encoded)]
    assert numbers["unknown"].tolist() == [0, 0.5, 0.2, 0]


def test_profile_has_mean_and_standard_deviation_of_both_sets() -> None:
    rows = [("negative", "positive", 0.75), ("positive", "positive", 0.875)]
    table = pd.DataFrame(rows, columns=["actual", "predicted", "probability"])
    parts = {"train": reviews([[1], [1, 2, 3]]), "test": reviews([[1, 2], [1, 2]])}
    described = profile.build_profile(parts, np.array([0, 2]), table, READS)
    assert described["texts"] == {"train": 2, "test": 2}
    assert described["accuracy"] == 0.5
    assert described["train"]["words"] == [2, 1]
    assert described["train"]["positive"] == [0.5, 0.5]
    assert described["test"]["words"] == [3, 1]
    assert described["test"]["unknown"] == [0.25, 0.25]
    assert described["test"]["positive"] == [1, 0]
    assert described["test"]["confidence"] == [0.8125, 0.0625]


def test_words_of_fewer_than_ten_texts_are_not_counted() -> None:
    described = profile.sample_document_frequencies(
        reviews([[1, 1, 2]] * 9 + [[1]] + [[5000]] * 20)
    )
    assert described["counts"][:3] == [10, 0, 0]
    assert sum(described["counts"]) == 10


@pytest.mark.parametrize("count", [100, 2000])
def test_samples_of_the_same_texts_have_the_distance_of_the_profile(count: int) -> None:
    described = profile.sample_document_frequencies(random_reviews(5000, seed=0))
    mean, deviation = described["distance"]
    kept = np.array(described["counts"]) > 0
    expected = mean * np.sqrt(1 / count + 1 / 5000)
    for seed in range(1, 6):
        found = profile.document_frequencies([*random_reviews(count, seed)])[kept]
        distance = profile.total_variation_distance(found, np.array(described["counts"])[kept])
        assert abs(distance / expected - 1) < max(5 * deviation / mean, 0.1)


@pytest.mark.slow
def test_registered_model_has_the_profile_of_its_texts(own_texts: Project) -> None:
    """Words that training had not are unknown, too, or unchanged texts would seem to have more."""
    (path,) = own_texts.path.glob("mlruns/*/*/artifacts/versions/1/profile.json")
    assert path.stat().st_size < 100_000
    data = own_texts.path / "data" / "fetch"
    dropped = np.load(data / "test_dropped.npy")
    words = np.diff(np.load(data / "test_offsets.npy")) + dropped
    described = json.loads(path.read_bytes())
    assert (described["tokenizer"], described["threshold"]) == ("unicode", 0.5)
    assert described["texts"]["test"] == len(words)
    assert described["test"]["words"][0] == pytest.approx(words.mean())
    assert described["test"]["unknown"][0] >= (dropped / words).mean()
