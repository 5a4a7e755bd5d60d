"""Find the reviews on which two groups differ."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.compare.comparable import GroupPredictions, ReviewTexts


@dataclass(frozen=True)
class Example:
    """A review that only one group predicts correctly."""

    review: int
    actual: str
    probability_a: float
    probability_b: float
    text: str


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
