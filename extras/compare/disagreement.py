"""Find where two groups differ: for which lengths of reviews, and on which reviews."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.compare.comparable import GroupPredictions, ReviewTexts
from extras.compare.verdict import Difference, difference
from sentiment.evaluation.metrics import length_groups


@dataclass(frozen=True)
class LengthGroup:
    """The reviews with some numbers of words, and the difference on them."""

    name: str
    reviews: int
    result: Difference


@dataclass(frozen=True)
class Example:
    """A review that only one group predicts correctly."""

    review: int
    actual: str
    probability_a: float
    probability_b: float
    text: str


def differences_by_length(
    a: GroupPredictions, b: GroupPredictions, rows: pd.DataFrame, buckets: list[int], level: float
) -> list[LengthGroup]:
    """Compare two groups by length of the review.

    Args:
        rows: a row for each review, with the column `words`.
        buckets: see `evaluate.length_buckets`.
        level: level of the confidence intervals.
    """
    lengths = length_groups(rows["words"], buckets)
    masks = {name: (lengths == name).to_numpy(bool) for name in lengths.cat.categories}
    return [
        LengthGroup(
            name, int(mask.sum()), difference(a.correct[:, mask], b.correct[:, mask], level)
        )
        for name, mask in masks.items()
        if mask.any()
    ]


def examples(
    mask: NDArray[np.bool_],
    a: GroupPredictions,
    b: GroupPredictions,
    rows: pd.DataFrame,
    texts: ReviewTexts,
    count: int,
) -> list[Example]:
    """Return up to `count` reviews of a mask, those first whose probabilities differ most.

    Args:
        mask: whether each review may be chosen, shape (reviews,).
        rows: a row for each review, with the column `actual`.
    """
    apart = np.where(mask, np.abs(a.probability - b.probability), -1)
    chosen = np.argsort(-apart, kind="stable")[: min(count, int(mask.sum()))]
    return [
        Example(
            review=int(rows.index[at]),
            actual=str(rows["actual"].iloc[at]),
            probability_a=float(a.probability[at]),
            probability_b=float(b.probability[at]),
            text=texts.text(int(rows.index[at])),
        )
        for at in chosen
    ]
