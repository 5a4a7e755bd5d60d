"""Where two groups of runs differ: on which kinds of reviews, and on which reviews."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.compare.comparable import Answers, Corpus
from extras.compare.verdict import CompareOptions, Difference, difference
from sentiment.scoring.metrics import length_groups

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

    @property
    def title(self) -> str:
        """What readers call it."""
        return f"{self.name} words" if self.kind == "words" else self.name


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
    lengths = length_groups(rows["words"], params["evaluate.length_buckets"])
    negated = has_negation(corpus)[rows.index]
    masks = [("words", name, (lengths == name).to_numpy(bool)) for name in lengths.cat.categories]
    masks += [("negation", "with negation", negated), ("negation", "without negation", ~negated)]
    return [
        Subset(
            kind, name, int(mask.sum()), difference(a.right[:, mask], b.right[:, mask], settings)
        )
        for kind, name, mask in masks
        if mask.any()
    ]


def has_negation(corpus: Corpus) -> NDArray[np.bool_]:
    """Whether each review, uncut, has a word that negates, shape (reviews,)."""
    negating = np.array(
        [word in NEGATIONS or word.endswith(CONTRACTION) for word in corpus.words], bool
    )
    counts = np.concatenate([[0], np.cumsum(negating[corpus.reviews.tokens])])
    return np.diff(counts[corpus.reviews.offsets]) > 0


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
