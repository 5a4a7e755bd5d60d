"""Two groups of runs that answered the same reviews, compared: pure functions."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extras.common.evaluated_runs import RunGroup
from extras.common.significance import Interval, interval
from extras.compare import verdict
from extras.compare.comparable import Corpus, answers, by_review
from extras.compare.disagreement import Example, Subset, examples, groups
from extras.compare.verdict import CompareOptions, Difference
from sentiment.evaluation.metrics import Metric, Predictions, metrics_for, reliability
from workflow.registry.promotion import DiscordantPairs, count_discordant_pairs

ABSENT = "–"  # in place of the value of a param that one group does not have
DIGESTS = ("model.", "data.")  # how the names of those begin that stand among the params
Rows = list[dict[Hashable, Any]]


@dataclass(frozen=True)
class Spread:
    """A metric over the trainings of a group, from the lowest to the highest.

    A single training has an interval, where the metric is a share, and no standard deviation.
    """

    mean: float
    interval: Interval | None
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """A group with its trainings' runs, the metrics of the headline by name, and its cost."""

    label: str
    run_id: str
    name: str
    runs: list[str]
    metrics: dict[str, Spread]
    cost: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two groups."""

    a: Summary
    b: Summary
    sentence: str
    caveats: list[str]  # what the sentence does not say
    confidence: float  # of all intervals
    test: str  # the name of what is behind every p
    reviews: int  # in the test set
    changes: list[dict[str, str]]  # `param`, `a` and `b` of each that differs
    result: Difference
    discordant: DiscordantPairs | None  # reviews that only one of two single trainings gets right
    groups: list[Subset]
    only_a: list[Example]
    only_b: list[Example]
    reliability: dict[str, list[Rows]]  # by `a` and `b`, see `sentiment.evaluation.metrics`


def compare(a: RunGroup, b: RunGroup, corpus: Corpus, settings: CompareOptions) -> Comparison:
    """Compare two groups that `check_comparable` admits; groups of length and bins are B's."""
    params = b.trainings[0].params
    bins, confidence = params["evaluate.calibration_bins"], settings.confidence
    of_a, of_b = answers(a), answers(b)
    rows = by_review(b.trainings[0])
    result = verdict.difference(of_a.right, of_b.right, settings)
    test = verdict.test_name(len(a.trainings), len(b.trainings))
    counts = None
    if a.single and b.single:
        counts = count_discordant_pairs(of_a.right[0], of_b.right[0])
    only_a, only_b = (
        examples(mask, of_a, of_b, rows, corpus, settings.examples)
        for mask in (of_a.agreed & ~of_b.agreed, of_b.agreed & ~of_a.agreed)
    )
    return Comparison(
        a=summarize(a, bins, confidence),
        b=summarize(b, bins, confidence),
        sentence=verdict.sentence(result, confidence, test),
        caveats=verdict.caveats(a, b, result, confidence),
        confidence=confidence,
        test=test,
        reviews=len(rows),
        changes=changes(a, b),
        result=result,
        discordant=counts,
        groups=groups(of_a, of_b, rows, params["evaluate.length_buckets"], settings),
        only_a=only_a,
        only_b=only_b,
        reliability={
            letter: [
                reliability(training.predictions, bins).to_dict("records")
                for training in group.trainings
            ]
            for letter, group in (("a", a), ("b", b))
        },
    )


def summarize(group: RunGroup, bins: int, confidence: float) -> Summary:
    tables = [Predictions(training.predictions, bins) for training in group.trainings]
    runs = [training.run_id for training in group.trainings]
    shown = metrics_for("headline").items()
    metrics = {name: spread(metric, tables, confidence) for name, metric in shown}
    return Summary(group.label, group.run_id, group.name, runs, metrics, group.cost)


def spread(metric: Metric, tables: Sequence[Predictions], confidence: float) -> Spread:
    """A metric of a group, from the predictions of each training."""
    values = np.array([metric.compute(table) for table in tables])
    mean, low, high = float(values.mean()), float(values.min()), float(values.max())
    if len(tables) > 1:
        return Spread(mean, None, float(values.std(ddof=1)), low, high)
    return Spread(mean, interval(metric, tables[0], confidence), None, low, high)


def changes(a: RunGroup, b: RunGroup) -> list[dict[str, str]]:
    """The params that differ, in the order of `params.yaml`."""
    values_a, values_b = values(a), values(b)
    return [
        {"param": name, "a": values_a.get(name, ABSENT), "b": values_b.get(name, ABSENT)}
        for name in values_a | values_b
        if values_a.get(name) != values_b.get(name)
    ]


def values(group: RunGroup) -> dict[str, str]:
    """A group's params as texts; several seeds stand side by side."""
    settings = [training.params for training in group.trainings]
    return {
        name: ", ".join(dict.fromkeys(str(used.get(name)) for used in settings))
        for name in settings[0]
        if not name.startswith(DIGESTS)
    }
