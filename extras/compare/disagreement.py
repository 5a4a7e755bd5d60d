"""Where two groups of runs differ: on which kinds of reviews, and on which reviews."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.compare.comparable import Answers, Corpus
from extras.compare.compare_options import CompareOptions
from extras.compare.verdict import Difference, difference
from sentiment.scoring import metrics

NEGATIONS = frozenset(
    "no not never cannot nor neither none nobody nothing nowhere "
    "without hardly scarcely barely".split()
)
CONTRACTION = "n't"


@dataclass(frozen=True)
class Subset:
    """Some of the reviews, and how the groups differ on them; `kind` is `words` or `negation`."""

    kind: str
    name: str
    reviews: int
    result: Difference


@dataclass(frozen=True)
class Example:
    """A review that only one group gets right."""

    review: int
    actual: str
    probability_a: float
    probability_b: float
    text: str


def groups(
    a: Answers,
    b: Answers,
    rows: pd.DataFrame,
    corpus: Corpus,
    params: Mapping[str, Any],
    settings: CompareOptions,
) -> list[Subset]:
    """How the groups differ by length of the review and by whether it negates anything."""
    negated = has_negation(corpus)[rows.index]
    kinds = {
        "words": length_groups(rows["words"], params["evaluate.length_buckets"]),
        "negation": {"with negation": negated, "without negation": ~negated},
    }
    return [
        Subset(
            kind, name, int(mask.sum()), difference(a.right[:, mask], b.right[:, mask], settings)
        )
        for kind, masks in kinds.items()
        for name, mask in masks.items()
        if mask.any()
    ]


def length_groups(words: pd.Series, bounds: list[int]) -> dict[str, NDArray[np.bool_]]:
    """Which reviews fall in each group of length, by the group's name."""
    groups = metrics.length_groups(words, bounds)
    return {name: (groups == name).to_numpy(bool) for name in groups.cat.categories}


def has_negation(corpus: Corpus) -> NDArray[np.bool_]:
    """Whether each review, uncut, has a word that negates, shape (reviews,)."""
    negating = np.array([negates(word) for word in corpus.words])
    counts = np.concatenate([[0], np.cumsum(negating[corpus.reviews.tokens])])
    return np.diff(counts[corpus.reviews.offsets]) > 0


def negates(word: str) -> bool:
    """Whether a word is a negation."""
    return word in NEGATIONS or word.endswith(CONTRACTION)


def both_kinds_of_examples(
    a: Answers, b: Answers, rows: pd.DataFrame, corpus: Corpus, count: int
) -> tuple[list[Example], list[Example]]:
    """Reviews that only A and that only B gets right."""
    kinds = (a.agreed & ~b.agreed, b.agreed & ~a.agreed)
    only_a, only_b = (examples(kind, a, b, rows, corpus, count) for kind in kinds)
    return only_a, only_b


def examples(
    mask: NDArray[np.bool_], a: Answers, b: Answers, rows: pd.DataFrame, corpus: Corpus, count: int
) -> list[Example]:
    """Up to `count` reviews of the mask, those first that the groups see most differently."""
    apart = np.where(mask, np.abs(a.probability - b.probability), -1)
    chosen = np.argsort(-apart, kind="stable")[: min(count, int(mask.sum()))]
    return [
        Example(
            review := int(rows.index[at]),
            str(rows["actual"].iloc[at]),
            float(a.probability[at]),
            float(b.probability[at]),
            " ".join(corpus.words[rank] for rank in corpus.reviews[review]),
        )
        for at in chosen
    ]
