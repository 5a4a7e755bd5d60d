from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sentiment import text
from sentiment.backend import load_keras
from sentiment.data import synthetic
from sentiment.data.dataset import Synthetic
from sentiment.network.model import build_model
from sentiment.padding import layout
from sentiment.text import Reviews
from tests.conftest import inputs
from workflow.params import Params

Generated = tuple[Reviews, Reviews, dict[str, int]]
SIZES = {"train_reviews": 4000, "test_reviews": 2000, "vocab_size": 400, "opinions": 3}
LENGTHS = {"min_length": 30, "max_length": 80, "cue_distance": 25}
SHARES = {"negated_share": 0.2, "ironic_share": 0.2, "label_noise": 0.1}
SETTINGS = Synthetic.model_validate({"seed": 1, **SIZES, **LENGTHS, **SHARES})


@pytest.fixture(scope="module")
def generated() -> Generated:
    return synthetic.generate(SETTINGS)


def texts(reviews: Reviews, index: dict[str, int]) -> list[list[str]]:
    words = ["", *index]
    return [[words[rank] for rank in review] for review in reviews]


def rule(words: list[str], use_cue: bool) -> int:
    """The label by the rule that the module's text states."""
    end = words[-SETTINGS.cue_distance :]
    at = next(i for i, word in enumerate(end) if word in synthetic.PRAISE + synthetic.BLAME)
    positive = (end[at] in synthetic.PRAISE) ^ (end[at - 1] in synthetic.NEGATIONS)
    ironic = words[-SETTINGS.cue_distance - 1] == synthetic.IRONIC
    return int(positive ^ (ironic and use_cue))


def test_the_seed_decides_the_reviews() -> None:
    small = SETTINGS.model_copy(update={"train_reviews": 200, "test_reviews": 100})
    first, again, other = (
        synthetic.generate(small.model_copy(update={"seed": seed})) for seed in (1, 1, 2)
    )
    assert again[2] == first[2]
    assert np.array_equal(again[0].tokens, first[0].tokens)
    assert np.array_equal(again[1].labels, first[1].labels)
    assert not np.array_equal(other[0].labels, first[0].labels)


def test_sizes_are_as_asked(generated: Generated) -> None:
    train, test, index = generated
    assert (len(train), len(test)) == (4000, 2000)
    assert train.lengths.min() >= SETTINGS.min_length
    assert train.lengths.max() <= SETTINGS.max_length
    assert len(index) <= SETTINGS.vocab_size
    assert train.tokens.dtype == np.uint32
    assert train.labels.dtype == np.uint8


def test_words_are_ranked_by_frequency_in_training(generated: Generated) -> None:
    train, _, index = generated
    counts = np.bincount(train.tokens, minlength=len(index) + 1)[1:]
    assert list(index.values()) == list(range(1, len(index) + 1))
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize("vocab_size", [400, 5000])  # with many names, not all are in training
def test_cue_stands_at_its_distance_in_every_review(vocab_size: int) -> None:
    sizes = {"train_reviews": 100, "test_reviews": 500, "vocab_size": vocab_size}
    _, test, index = synthetic.generate(SETTINGS.model_copy(update=sizes))
    cues = {words[-SETTINGS.cue_distance - 1] for words in texts(test, index)}
    assert cues == {synthetic.SINCERE, synthetic.IRONIC}
    assert test.lengths.min() >= SETTINGS.min_length


@pytest.mark.parametrize(
    ("use_cue", "accuracy"),
    [(True, pytest.approx(0.9, abs=0.02)), (False, pytest.approx(0.74, abs=0.03))],
)
def test_the_rule_is_right_but_for_the_noise_and_without_the_cue_in_sincere_reviews_alone(
    generated: Generated, use_cue: bool, accuracy: float
) -> None:
    _, test, index = generated
    guesses = [rule(words, use_cue) for words in texts(test, index)]
    assert np.mean(np.array(guesses) == test.labels) == accuracy


def test_a_sum_over_words_is_right_by_chance_in_ironic_reviews(generated: Generated) -> None:
    train, test, index = generated
    counter = CountVectorizer(analyzer=lambda words: words)
    counted = counter.fit_transform(texts(train, index))
    model = LogisticRegression(max_iter=1000).fit(counted, train.labels)
    score = model.score(counter.transform(texts(test, index)), test.labels)
    sincere = 1 - SETTINGS.ironic_share
    bound = sincere * (1 - SETTINGS.label_noise) + SETTINGS.ironic_share / 2
    assert score < bound < 1 - SETTINGS.label_noise


@pytest.mark.usefixtures("backend")
def test_an_lstm_remembers_the_cue(default_params: Params) -> None:
    sizes = {"train_reviews": 2000, "test_reviews": 1000, "min_length": 20, "max_length": 30}
    cue = {"opinions": 2, "cue_distance": 15, "ironic_share": 0.4}
    settings = default_params.fetch.synthetic.model_copy(update=sizes | cue)
    params = default_params.train.model_copy(
        update={"embedding_units": 16, "units": 16, "learning_rate": 0.01}
    )
    train, test, _ = synthetic.generate(settings)
    options = replace(layout(default_params.pad), max_length=settings.max_length + 1)
    x, x_test = (text.pad(part, np.arange(len(part)), options) for part in (train, test))
    load_keras().utils.set_random_seed(params.seed)
    model = build_model(params, inputs(options.num_words, options.max_length))
    model.fit(x, train.labels, batch_size=64, epochs=10, verbose=0)
    guesses = model.predict(x_test, batch_size=500, verbose=0)[:, 0] > 0.5
    score = float(np.mean(guesses == test.labels))
    sincere, noise = 1 - settings.ironic_share, settings.label_noise
    without_memory = sincere * (1 - noise) + (1 - sincere) * noise
    assert score > without_memory + 0.1
    assert score < 1 - noise + 0.01
