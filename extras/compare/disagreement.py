"""Where two groups of runs differ: on which kinds of reviews, and on which reviews."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.compare.comparable import Answers, Corpus
from extras.compare.verdict import CompareOptions, Difference, difference
from sentiment.evaluation.metrics import length_groups


@dataclass(frozen=True)
class Subset:
    """Some of the reviews, by their number of words, and how the groups differ on them."""

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
    a: Answers, b: Answers, rows: pd.DataFrame, buckets: list[int], settings: CompareOptions
) -> list[Subset]:
    """How the groups differ by length of the review."""
    lengths = length_groups(rows["words"], buckets)
    masks = {name: (lengths == name).to_numpy(bool) for name in lengths.cat.categories}
    return [
        Subset(name, int(mask.sum()), difference(a.right[:, mask], b.right[:, mask], settings))
        for name, mask in masks.items()
        if mask.any()
    ]


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
