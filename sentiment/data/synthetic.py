"""Generate English-like reviews with labels that follow a known rule, which needs memory to apply.

A review has a few opinions in its last `cue_distance` words: a subject, a word of praise or blame,
and sometimes a negation ("the plot was not dull"). All of them agree. The word right before them
says how they are meant: after "honestly" literally, after "supposedly" as their opposite.
Everything else is filler. The label is the meant opinion, wrong with probability `LABEL_NOISE`.

A reader of the complete review can therefore reach an accuracy of 1 - `LABEL_NOISE`. A reader that
has forgotten the cue reaches it in the sincere reviews alone. A sum over words sees the cue but
cannot invert the opinions by it, so that its predictions for ironic reviews are at best guesses.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from sentiment.params import SyntheticParams
from sentiment.text.reviews import Reviews

VOCABULARY_SIZE = 400  # distinct words; all but about seventy are names without a meaning
MIN_WORDS_BEFORE = 4  # words of a review before its cue
MAX_WORDS_BEFORE = 54
OPINIONS = 3  # clauses of a review that praise or pan
NEGATED_SHARE = 0.2  # share of the opinions that are negated
IRONIC_SHARE = 0.2  # share of the reviews with a cue that inverts all opinions
LABEL_NOISE = 0.02  # share of wrong labels
PRAISE = "good great wonderful superb moving brilliant charming fresh funny gripping".split()
BLAME = "bad awful terrible dull boring weak clumsy tedious poor shallow".split()
NEGATIONS = "not never hardly".split()
SUBJECTS = "plot acting story cast music ending script camera dialogue pace".split()
SINCERE = "honestly"
IRONIC = "supposedly"
FILLER = [
    clause.split()
    for clause in (
        "we saw it on a rainy evening with {name}",
        "the film takes place in {name} and later in {name}",
        "{name} plays a friend of {name}",
        "it was made in {name} by {name}",
        "there is a scene with a train and a letter",
        "then {name} leaves for the city of {name}",
        "i read about it in the paper",
        "{name} wrote the book before the war",
    )
]
SYLLABLES = "ba ko mi ra ten lo vi sha dor nel pu gri".split()
MEANINGFUL = {*PRAISE, *BLAME, *NEGATIONS, *SUBJECTS, SINCERE, IRONIC, "the", "was"}
FIXED = MEANINGFUL | set(chain(*FILLER)) - {"{name}"}  # all words but the names


def generate(params: SyntheticParams) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Generate training reviews, test reviews and the word index.

    As in IMDB's files, words are ranked by their frequency in the training set. Words that do not
    occur there come last. IMDB's files drop them, which would move the cue.
    """
    rng = np.random.default_rng(params.seed)
    train = list(generate_reviews(params.train_reviews, params, rng))
    test = list(generate_reviews(params.test_reviews, params, rng))
    counts = Counter(chain.from_iterable(words for words, _ in train))
    vocabulary = [*sorted(FIXED), *_names()]
    by_frequency = sorted(vocabulary, key=lambda word: -counts[word])
    word_index = {word: rank for rank, word in enumerate(by_frequency, start=1)}
    return _encode(train, word_index), _encode(test, word_index), word_index


def generate_reviews(
    count: int, params: SyntheticParams, rng: np.random.Generator
) -> Iterator[tuple[list[str], int]]:
    """Generate `count` reviews one by one. Each is its words and its label, 1 = positive."""
    names = _names()
    return (_review(params, names, rng) for _ in range(count))


def _review(
    params: SyntheticParams, names: Sequence[str], rng: np.random.Generator
) -> tuple[list[str], int]:
    is_positive = rng.random() < 0.5
    is_ironic = rng.random() < IRONIC_SHARE
    words_before = int(rng.integers(MIN_WORDS_BEFORE, MAX_WORDS_BEFORE, endpoint=True))
    before = _filler(words_before, names, rng)
    cue = IRONIC if is_ironic else SINCERE
    after = _opinions(is_positive, params.cue_distance, names, rng)
    is_wrong = rng.random() < LABEL_NOISE
    return [*before, cue, *after], int(is_positive ^ is_ironic ^ is_wrong)


def _opinions(
    is_positive: bool, words_after: int, names: Sequence[str], rng: np.random.Generator
) -> list[str]:
    """Return `words_after` words: the opinions, with filler before, between and after them."""
    clauses = [_opinion(is_positive, rng) for _ in range(OPINIONS)]
    filler_words = words_after - sum(map(len, clauses))
    cuts = np.sort(rng.integers(0, filler_words, OPINIONS, endpoint=True))
    gaps = np.diff(np.concatenate([[0], cuts, [filler_words]]))
    words = _filler(int(gaps[0]), names, rng)
    for clause, gap in zip(clauses, gaps[1:], strict=True):
        words += clause
        words += _filler(int(gap), names, rng)
    return words


def _opinion(is_positive: bool, rng: np.random.Generator) -> list[str]:
    is_negated = rng.random() < NEGATED_SHARE
    words = PRAISE if is_positive ^ is_negated else BLAME
    negation = [str(rng.choice(NEGATIONS))] if is_negated else []
    return ["the", str(rng.choice(SUBJECTS)), "was", *negation, str(rng.choice(words))]


def _filler(length: int, names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return exactly `length` neutral words. The last clause may be cut short."""
    words: list[str] = []
    while len(words) < length:
        for word in FILLER[rng.integers(len(FILLER))]:
            # The first names occur much more often than the last, as words do in a language.
            is_name = word == "{name}"
            words.append(names[int(len(names) * rng.random() ** 3)] if is_name else word)
    return words[:length]


def _names() -> list[str]:
    """Return as many different made-up names as the vocabulary has room for."""
    base = len(SYLLABLES)
    count = VOCABULARY_SIZE - len(FIXED)
    digits = [np.base_repr(number + base**2, base) for number in range(count)]
    return ["".join(SYLLABLES[int(digit, base)] for digit in text) for text in digits]


def _encode(labeled: list[tuple[list[str], int]], word_index: dict[str, int]) -> Reviews:
    ranks = [[word_index[word] for word in words] for words, _ in labeled]
    return Reviews.from_lists(ranks, np.array([label for _, label in labeled]))
