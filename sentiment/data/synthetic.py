"""English-like reviews whose label follows a known rule that takes memory to apply.

A review has a few opinions in its last `cue_distance` words: a subject, a word of praise or
blame, and now and then a negation ("the plot was not dull"). All of them agree. The word right
before them says how they are meant: after "honestly" literally, after "supposedly" as their
opposite. Everything else is filler. The label is the meant opinion, wrong with probability
`label_noise`. So a reader of the complete review reaches 1 - `label_noise`, and one that has
forgotten the cue reaches that in the sincere reviews alone. A sum over words sees the cue
but cannot turn the opinions by it: at most it is right by chance in the ironic reviews.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from sentiment.data.params import SyntheticParams
from sentiment.tokenizer import Reviews

PRAISE = "good great wonderful superb moving brilliant charming fresh funny gripping".split()
BLAME = "bad awful terrible dull boring weak clumsy tedious poor shallow".split()
NEGATIONS = "not never hardly".split()
SUBJECTS = "plot acting story cast music ending script camera dialogue pace".split()
SINCERE, IRONIC = "honestly", "supposedly"
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
MEANT = {*PRAISE, *BLAME, *NEGATIONS, *SUBJECTS, SINCERE, IRONIC, "the", "was"}
FIXED = MEANT | set(chain(*FILLER)) - {"{name}"}  # all words but the names


def generate(params: SyntheticParams) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Generate training reviews, test reviews and the word index.

    As in IMDB's files, words are ranked by their frequency in the training part. Those that do
    not occur there come last: dropping them, as IMDB's files do, would move the cue.
    """
    rng = np.random.default_rng(params.seed)
    train = list(reviews(params.train_reviews, params, rng))
    test = list(reviews(params.test_reviews, params, rng))
    counts = Counter(chain.from_iterable(words for words, _ in train))
    vocabulary = [*sorted(FIXED), *_names(params)]
    ranked = sorted(vocabulary, key=lambda word: -counts[word])
    index = {word: rank for rank, word in enumerate(ranked, start=1)}
    return _encode(train, index), _encode(test, index), index


def reviews(
    count: int, params: SyntheticParams, rng: np.random.Generator
) -> Iterator[tuple[list[str], int]]:
    """So many reviews one after the other, each as its words and its label, 1 = positive."""
    names = _names(params)
    return (_review(params, names, rng) for _ in range(count))


def _review(
    params: SyntheticParams, names: Sequence[str], rng: np.random.Generator
) -> tuple[list[str], int]:
    positive, ironic = rng.random() < 0.5, rng.random() < params.ironic_share
    length = int(rng.integers(params.min_length, params.max_length, endpoint=True))
    before = _filler(length - params.cue_distance - 1, names, rng)
    cue = IRONIC if ironic else SINCERE
    after = _opinions(positive, params, names, rng)
    wrong = rng.random() < params.label_noise
    return [*before, cue, *after], int(positive ^ ironic ^ wrong)


def _opinions(
    positive: bool, params: SyntheticParams, names: Sequence[str], rng: np.random.Generator
) -> list[str]:
    """`cue_distance` words with the opinions, with filler before and between them."""
    clauses = [_opinion(positive, params, rng) for _ in range(params.opinions)]
    spare = params.cue_distance - sum(map(len, clauses))
    cuts = np.sort(rng.integers(0, spare, params.opinions, endpoint=True))
    gaps = np.diff(np.concatenate([[0], cuts, [spare]]))
    parts = [_filler(int(gap), names, rng) for gap in gaps]
    return list(chain(*chain(*zip(parts, clauses, strict=False)), parts[-1]))


def _opinion(positive: bool, params: SyntheticParams, rng: np.random.Generator) -> list[str]:
    negated = rng.random() < params.negated_share
    words = PRAISE if positive ^ negated else BLAME
    negation = [str(rng.choice(NEGATIONS))] if negated else []
    return ["the", str(rng.choice(SUBJECTS)), "was", *negation, str(rng.choice(words))]


def _filler(length: int, names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Exactly `length` neutral words, the last clause cut short where it has to be."""
    words: list[str] = []
    while len(words) < length:
        for word in FILLER[rng.integers(len(FILLER))]:
            # the first names occur much more often than the last, as words do in a language
            is_name = word == "{name}"
            words.append(names[int(len(names) * rng.random() ** 3)] if is_name else word)
    return words[:length]


def _names(params: SyntheticParams) -> list[str]:
    """As many different made-up names as the vocabulary has room for."""
    base, count = len(SYLLABLES), params.vocab_size - len(FIXED)
    digits = [np.base_repr(number + base**2, base) for number in range(count)]
    return ["".join(SYLLABLES[int(digit, base)] for digit in text) for text in digits]


def _encode(part: list[tuple[list[str], int]], index: dict[str, int]) -> Reviews:
    ranks = [[index[word] for word in words] for words, _ in part]
    return Reviews.from_lists(ranks, np.array([label for _, label in part]))
