"""Compare two groups of runs that were evaluated on the same test set, by pure functions."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extras.common.evaluated_runs import RunGroup
from extras.common.intervals import metric_interval
from extras.compare import verdict
from extras.compare.comparable import ReviewTexts, group_predictions, predictions_by_review
from extras.compare.disagreement import Example, examples
from extras.compare.verdict import CompareConfig, Difference
from sentiment.evaluation.metrics import Interval, Metric, Predictions, metrics_for, reliability
from workflow.registry.promotion import DiscordantPairs, count_discordant_pairs

ABSENT = "–"  # in place of the value of a param that one group does not have
DIGESTS = ("model.", "data.")  # starts of names that are digests, not params
Rows = list[dict[Hashable, Any]]


@dataclass(frozen=True)
class MetricSummary:
    """A metric over the trainings of a group.

    A single training has no standard deviation, and an interval if the metric is a proportion.
    """

    mean: float
    interval: Interval | None
    standard_deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class GroupSummary:
    """A group with its trainings' runs, its metrics by name, and its cost."""

    label: str
    run_id: str
    name: str
    runs: list[str]
    metrics: dict[str, MetricSummary]
    cost: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two groups.

    Attributes:
        caveat: a sentence about the limits of the result.
        confidence: level of all intervals.
        test: name of the test behind each p-value.
        reviews: number of reviews in the test set.
        changes: `param`, `a` and `b` of each param that differs.
        discordant: the discordant pairs of two single trainings; otherwise None.
        reliability: tables of `a` and `b`, one for each training, see
            `sentiment.evaluation.metrics.reliability`.
    """

    a: GroupSummary
    b: GroupSummary
    sentence: str
    caveat: str
    confidence: float
    test: str
    reviews: int
    changes: list[dict[str, str]]
    result: Difference
    discordant: DiscordantPairs | None
    only_a: list[Example]
    only_b: list[Example]
    reliability: dict[str, list[Rows]]


def compare_groups(
    a: RunGroup, b: RunGroup, texts: ReviewTexts, config: CompareConfig
) -> Comparison:
    """Compare two groups that `check_comparable` accepts. The bins of calibration are B's."""
    bins = b.runs[0].params["evaluate.calibration_bins"]
    confidence = config.confidence
    rows = predictions_by_review(b.runs[0])
    of_a = group_predictions(a)
    of_b = group_predictions(b)
    result = verdict.difference(of_a.correct, of_b.correct, confidence)
    test = verdict.significance_test(len(a.runs), len(b.runs))
    pairs = None
    if a.is_single and b.is_single:
        pairs = count_discordant_pairs(of_a.correct[0], of_b.correct[0])
    only_a = of_a.mean_correct & ~of_b.mean_correct
    only_b = of_b.mean_correct & ~of_a.mean_correct
    return Comparison(
        a=summarize_group(a, bins, confidence),
        b=summarize_group(b, bins, confidence),
        sentence=verdict.conclusion(result, confidence, test),
        caveat=verdict.caveat(a, b),
        confidence=confidence,
        test=test,
        reviews=len(rows),
        changes=changed_params(a, b),
        result=result,
        discordant=pairs,
        only_a=examples(only_a, of_a, of_b, rows, texts, config.examples),
        only_b=examples(only_b, of_a, of_b, rows, texts, config.examples),
        reliability={"a": reliability_tables(a, bins), "b": reliability_tables(b, bins)},
    )


def reliability_tables(group: RunGroup, bins: int) -> list[Rows]:
    """Return the table behind the reliability plot, for each training."""
    return [reliability(run.predictions, bins).to_dict("records") for run in group.runs]


def summarize_group(group: RunGroup, bins: int, confidence: float) -> GroupSummary:
    """Compute a group's metrics."""
    tables = [Predictions(run.predictions, bins) for run in group.runs]
    return GroupSummary(
        label=group.label,
        run_id=group.run_id,
        name=group.name,
        runs=[run.run_id for run in group.runs],
        metrics={
            name: summarize_metric(metric, tables, confidence)
            for name, metric in metrics_for("comparison").items()
        },
        cost=group.cost,
    )


def summarize_metric(
    metric: Metric, tables: Sequence[Predictions], confidence: float
) -> MetricSummary:
    """Compute a metric of a group from the predictions of each training."""
    values = np.array([metric.compute(table) for table in tables])
    several = len(tables) > 1
    return MetricSummary(
        mean=float(values.mean()),
        interval=None if several else metric_interval(metric, tables[0], confidence),
        standard_deviation=float(values.std(ddof=1)) if several else None,
        low=float(values.min()),
        high=float(values.max()),
    )


def changed_params(a: RunGroup, b: RunGroup) -> list[dict[str, str]]:
    """Return the params that differ, in the order of `params.yaml`."""
    values_a = param_texts(a)
    values_b = param_texts(b)
    return [
        {"param": name, "a": values_a.get(name, ABSENT), "b": values_b.get(name, ABSENT)}
        for name in values_a | values_b
        if values_a.get(name) != values_b.get(name)
    ]


def param_texts(group: RunGroup) -> dict[str, str]:
    """Return a group's params as texts. Different values, such as of seeds, are listed."""
    flat_params = [run.params for run in group.runs]
    return {
        name: ", ".join(dict.fromkeys(str(params.get(name)) for params in flat_params))
        for name in flat_params[0]
        if not name.startswith(DIGESTS)
    }
