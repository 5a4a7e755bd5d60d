"""Synthetic reviews follow their rule, and need memory."""

import numpy as np
import pytest

from sentiment.data import synthetic
from sentiment.params import SyntheticParams
from sentiment.text.reviews import Reviews

Generated = tuple[Reviews, Reviews, dict[str, int]]
PARAMS = SyntheticParams(seed=1, train_reviews=2000, test_reviews=2000, cue_distance=30)


@pytest.fixture(scope="module")
def generated() -> Generated:
    return synthetic.generate(PARAMS)


def texts(reviews: Reviews, index: dict[str, int]) -> list[list[str]]:
    words = ["", *index]
    return [[words[rank] for rank in review] for review in reviews]


def label_by_rule(words: list[str], use_cue: bool) -> int:
    """Return the label by the rule in the module's docstring."""
    end = words[-PARAMS.cue_distance :]
    at = next(i for i, word in enumerate(end) if word in synthetic.PRAISE + synthetic.BLAME)
    positive = (end[at] in synthetic.PRAISE) ^ (end[at - 1] in synthetic.NEGATIONS)
    ironic = words[-PARAMS.cue_distance - 1] == synthetic.IRONIC
    return int(positive ^ (ironic and use_cue))


def test_sizes_follow_params_and_words_are_ranked_by_frequency(generated: Generated) -> None:
    train, test, index = generated
    assert (len(train), len(test)) == (2000, 2000)
    counts = np.bincount(train.ranks, minlength=len(index) + 1)[1:]
    assert list(index.values()) == list(range(1, 401))
    assert (np.diff(counts) <= 0).all()


def test_cue_is_at_its_distance_in_every_review() -> None:
    """Use so few training reviews that they do not have all words."""
    params = PARAMS.model_copy(update={"train_reviews": 1})
    train, test, index = synthetic.generate(params)
    assert test.ranks.max() > len(np.unique(train.ranks))
    cues = {words[-PARAMS.cue_distance - 1] for words in texts(test, index)}
    assert cues == {synthetic.SINCERE, synthetic.IRONIC}


def test_rule_is_right_except_for_noise_and_needs_the_cue(generated: Generated) -> None:
    _, test, index = generated
    accuracy = {}
    for use_cue in (True, False):
        guesses = [label_by_rule(words, use_cue) for words in texts(test, index)]
        accuracy[use_cue] = np.mean(np.array(guesses) == test.labels)
    assert accuracy[True] == pytest.approx(1 - synthetic.LABEL_NOISE, abs=0.015)
    assert accuracy[False] == pytest.approx(
        accuracy[True] - synthetic.IRONIC_SHARE * (1 - 2 * synthetic.LABEL_NOISE), abs=0.04
    )


def test_seed_gives_the_same_reviews_again(generated: Generated) -> None:
    again = synthetic.generate(PARAMS)
    other = synthetic.generate(PARAMS.model_copy(update={"seed": 2}))
    np.testing.assert_array_equal(again[1].ranks, generated[1].ranks)
    assert again[2] == generated[2]
    assert not np.array_equal(other[1].offsets, generated[1].offsets)
