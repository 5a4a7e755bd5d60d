"""The verdict on two groups of runs: the difference, its interval and p, in a sentence.

Two single trainings are compared review by review; as soon as one group has several trainings,
the unit is a training and not a review. Every difference is B less A.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extras.common import significance
from extras.common.evaluated_runs import RunGroup
from extras.common.significance import Interval
from sentiment.section import SEED_LIMIT, Section
from workflow.registry.promotion import count_discordant_pairs, mcnemar_p_value

UNDECIDED = "The interval and the test disagree about a difference of zero: take it as undecided."
TWO_MODELS = (
    "This is about these two trained models and says nothing about other seeds: "
    '"make seeds" trains params under several.'
)


class CompareOptions(Section):
    """The settings of `make compare`."""

    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int = Field(ge=100, le=1_000_000)
    bootstrap_seed: int = Field(ge=0, lt=SEED_LIMIT)
    examples: int = Field(ge=0, le=1000)


@dataclass(frozen=True)
class Difference:
    """Accuracies of two groups, means over the trainings of each, and B's less A's."""

    a: float
    b: float
    difference: float
    interval: Interval
    p: float


def difference(a: NDArray[np.bool_], b: NDArray[np.bool_], settings: CompareOptions) -> Difference:
    """Compare accuracies, of two single trainings by review and otherwise by training.

    `a` and `b` are whether each training is right about each review, shape (trainings, reviews).
    """
    accuracies_a, accuracies_b = a.mean(axis=1), b.mean(axis=1)
    mean_a, mean_b = float(accuracies_a.mean()), float(accuracies_b.mean())
    if len(a) == len(b) == 1:
        interval = significance.bootstrap(
            a[0], b[0], settings.confidence, settings.bootstrap_samples, settings.bootstrap_seed
        )
        p = mcnemar_p_value(count_discordant_pairs(a[0], b[0]))
    else:
        with warnings.catch_warnings():  # among few reviews one group may have no spread
            warnings.simplefilter("ignore", RuntimeWarning)
            interval, p = significance.mean_difference(
                accuracies_a, accuracies_b, settings.confidence
            )
    return Difference(mean_a, mean_b, mean_b - mean_a, interval, p)


def test_name(a: int, b: int) -> str:
    """The test behind p, by the numbers of trainings."""
    if a == b == 1:
        return "McNemar's exact"
    return "Student's t-test" if 1 in (a, b) else "Welch's t-test"


def sentence(result: Difference, confidence: float, test: str) -> str:
    """The outcome in a sentence, as far as p and the confidence carry it."""
    p, (low, high) = f"{test} {p_text(result.p)}", result.interval
    if result.p < 1 - confidence:
        better, sign = ("B", 1) if result.difference > 0 else ("A", -1)
        by, ends = points(sign * result.difference), sorted((sign * low, sign * high))
        return f"{better} is better by {by} points ({span(ends, confidence)}, {p})."
    interval = span((low, high), confidence)
    return f"No difference shown: B − A is {points(result.difference)} points ({interval}, {p})."


def caveats(a: RunGroup, b: RunGroup, result: Difference, confidence: float) -> list[str]:
    """What the sentence does not say."""
    low, high = result.interval
    notes = [UNDECIDED] if (result.p < 1 - confidence) == (low <= 0 <= high) else []
    if a.single and b.single:
        return [*notes, TWO_MODELS]
    counted = f"{len(a.trainings)} against {len(b.trainings)}"
    return [*notes, f"The unit is a training, {counted}, on these test reviews."]


def span(ends: Sequence[float], confidence: float) -> str:
    """An interval in points, with its confidence."""
    return f"{100 * confidence:g} % interval {points(ends[0])} to {points(ends[1])}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points."""
    return f"{100 * share:.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p as it is written, such as `p = 0.03`."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
