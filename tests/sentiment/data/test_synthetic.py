import numpy as np
import pytest

from sentiment.data import synthetic
from sentiment.data.params import SyntheticParams
from sentiment.tokenizer import Reviews

Generated = tuple[Reviews, Reviews, dict[str, int]]
SIZES = {"train_reviews": 4000, "test_reviews": 2000, "vocab_size": 400, "opinions": 3}
LENGTHS = {"min_length": 30, "max_length": 80, "cue_distance": 25}
SHARES = {"negated_share": 0.2, "ironic_share": 0.2, "label_noise": 0.1}
PARAMS = SyntheticParams.model_validate({"seed": 1, **SIZES, **LENGTHS, **SHARES})


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
    assert (len(train), len(test)) == (4000, 2000)
    assert train.lengths.min() >= PARAMS.min_length
    assert train.lengths.max() <= PARAMS.max_length
    counts = np.bincount(train.tokens, minlength=len(index) + 1)[1:]
    assert list(index.values()) == list(range(1, len(index) + 1))
    assert len(index) <= PARAMS.vocab_size
    assert (np.diff(counts) <= 0).all()


def test_cue_is_at_its_distance_in_every_review() -> None:
    """Use more names than the training set has words."""
    sizes = {"train_reviews": 100, "test_reviews": 500, "vocab_size": 5000}
    _, test, index = synthetic.generate(PARAMS.model_copy(update=sizes))
    cues = {words[-PARAMS.cue_distance - 1] for words in texts(test, index)}
    assert cues == {synthetic.SINCERE, synthetic.IRONIC}


@pytest.mark.parametrize(
    ("use_cue", "accuracy"),
    [(True, pytest.approx(0.9, abs=0.02)), (False, pytest.approx(0.74, abs=0.03))],
)
def test_rule_is_right_except_for_noise_and_needs_the_cue(
    generated: Generated, use_cue: bool, accuracy: float
) -> None:
    _, test, index = generated
    guesses = [label_by_rule(words, use_cue) for words in texts(test, index)]
    assert np.mean(np.array(guesses) == test.labels) == accuracy
