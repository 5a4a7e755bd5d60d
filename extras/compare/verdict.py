"""Decide whether one of two groups is better, and put that into a sentence.

Two single trainings are compared by review. If a group has several trainings, each training is one
observation. All differences are B minus A.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extras.common.evaluated_runs import RunGroup
from extras.compare import significance
from sentiment.evaluation.metrics import Interval
from sentiment.section import Section
from workflow.registry.promotion import count_discordant_pairs, mcnemar_p_value

TWO_MODELS = (
    "This is about these two trained models and says nothing about other seeds: "
    '"make seeds" trains the same params with several seeds.'
)


class CompareConfig(Section):
    """The config of `make compare`."""

    confidence: float = Field(gt=0, lt=1)
    examples: int = Field(ge=0, le=1000)


@dataclass(frozen=True)
class Difference:
    """A difference of accuracies.

    Attributes:
        a: accuracy of A, mean over its trainings.
        b: accuracy of B, likewise.
        difference: `b` minus `a`.
        interval: confidence interval of the difference.
        p: p-value of the difference.
    """

    a: float
    b: float
    difference: float
    interval: Interval
    p: float


def difference(a: NDArray[np.bool_], b: NDArray[np.bool_], confidence: float) -> Difference:
    """Compare accuracies, of two single trainings by review and otherwise by training.

    Args:
        a: whether each training of A is right, shape (trainings, reviews).
        b: the same of B.
        confidence: level of the interval.
    """
    accuracies_a = a.mean(axis=1)
    accuracies_b = b.mean(axis=1)
    if len(a) == len(b) == 1:
        pairs = count_discordant_pairs(a[0], b[0])
        interval = significance.paired_interval(pairs, a.shape[1], confidence)
        p = mcnemar_p_value(pairs)
    else:
        with warnings.catch_warnings():  # on few reviews, all accuracies of a group may be equal
            warnings.simplefilter("ignore", RuntimeWarning)
            interval, p = significance.welch_test(accuracies_a, accuracies_b, confidence)
    mean_a = float(accuracies_a.mean())
    mean_b = float(accuracies_b.mean())
    return Difference(mean_a, mean_b, mean_b - mean_a, interval, p)


def significance_test(trainings_a: int, trainings_b: int) -> str:
    """Return the name of the test for these numbers of trainings."""
    if trainings_a == trainings_b == 1:
        return "McNemar's exact"
    return "Student's t-test" if 1 in (trainings_a, trainings_b) else "Welch's t-test"


def conclusion(result: Difference, confidence: float, test: str) -> str:
    """Put the outcome into a sentence that claims no more than the p-value allows."""
    low, high = result.interval
    test_result = f"{test} {format_p_value(result.p)}"
    if result.p >= 1 - confidence:
        interval = format_interval((low, high), confidence)
        return (
            f"No difference shown: B − A is {format_points(result.difference)} points "
            f"({interval}, {test_result})."
        )
    if result.difference > 0:
        better = "B"
        lead = result.difference
        interval = format_interval((low, high), confidence)
    else:
        better = "A"
        lead = -result.difference
        interval = format_interval((-high, -low), confidence)
    return f"{better} is better by {format_points(lead)} points ({interval}, {test_result})."


def caveat(a: RunGroup, b: RunGroup) -> str:
    """Return what the sentence does not say."""
    if a.is_single and b.is_single:
        return TWO_MODELS
    return (
        f"Each training is one observation: {len(a.runs)} and {len(b.runs)} trainings, all "
        "evaluated on this test set."
    )


def format_interval(ends: Sequence[float], confidence: float) -> str:
    """Write an interval of a difference in percentage points."""
    return f"{100 * confidence:g}% interval {format_points(ends[0])} to {format_points(ends[1])}"


def format_points(proportion: float) -> str:
    """Write a difference of accuracies in percentage points."""
    return f"{100 * proportion:.2f}".replace("-", "−")


def format_p_value(p: float) -> str:
    """Write a p-value, such as `p = 0.03`."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
