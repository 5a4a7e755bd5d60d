"""Two groups of runs that answered the same reviews, compared: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from extras.common.evaluated_runs import RunGroup
from extras.common.significance import Interval, interval
from extras.compare.comparable import Corpus, answers, by_review
from extras.compare.compare_options import CompareOptions
from extras.compare.disagreement import Example, Subset, both_kinds_of_examples, groups
from extras.compare.verdict import Difference, caveats, difference, discordant, sentence, test_name
from sentiment.scoring.metrics import Metric, Predictions, reliability, shown_in
from workflow.registry.rule import Discordant

ABSENT = "–"  # in place of the value of a param that one group does not have


@dataclass(frozen=True)
class Spread:
    """A metric of a group.

    Attributes:
        mean: over its trainings.
        interval: of a single training, where the metric is a share; else None.
        deviation: standard deviation over a group's trainings; None of a single one.
        low: the least of its trainings.
        high: the greatest.
    """

    mean: float
    interval: Interval | None
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """A group's metrics and cost.

    Attributes:
        label: how it was asked for.
        run_id: of its run, or of the group's parent run.
        name: of that run.
        runs: ids of its trainings' runs.
        metrics: those of the headline, by name, see `sentiment.scoring.metrics`.
        cost: means over its trainings: seconds of the training, of a usual (median) epoch,
            parameters, ms a review.
    """

    label: str
    run_id: str
    name: str
    runs: list[str]
    metrics: dict[str, Spread]
    cost: dict[str, float]


@dataclass(frozen=True)
class Change:
    """A param that differs; several values of a group are one text."""

    param: str
    a: str
    b: str


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two groups.

    Attributes:
        sentence: the outcome in words, of A and B.
        caveats: what it does not say.
        confidence: of all intervals.
        test: name of the test behind every p.
        reviews: number of test reviews.
        discordant: reviews that only one of two single trainings gets right; None for groups.
        reliability: a table for each training of A and of B, see `sentiment.scoring.metrics`.
        curves: the history of each training of A and of B.
        gradients: a table for each training of A and of B that has one, see
            `sentiment.gradients`.
    """

    a: Summary
    b: Summary
    sentence: str
    caveats: list[str]
    confidence: float
    test: str
    reviews: int
    changes: list[Change]
    result: Difference
    discordant: Discordant | None
    groups: list[Subset]
    only_a: list[Example]
    only_b: list[Example]
    reliability: tuple[list[pd.DataFrame], list[pd.DataFrame]]
    curves: tuple[list[pd.DataFrame], list[pd.DataFrame]]
    gradients: tuple[list[pd.DataFrame], list[pd.DataFrame]]


def compare(a: RunGroup, b: RunGroup, corpus: Corpus, settings: CompareOptions) -> Comparison:
    """Compare two groups that `extras.compare.comparable.check_comparable` admits.

    Length groups and calibration bins are those of B's params, for both.
    """
    params = b.trainings[0].params
    bins = params["evaluate.calibration_bins"]
    answers_a, answers_b = answers(a), answers(b)
    result = difference(answers_a.right, answers_b.right, settings)
    test = test_name(len(a.trainings), len(b.trainings))
    counts = discordant(answers_a, answers_b)
    rows = by_review(b.trainings[0])
    examples = both_kinds_of_examples(answers_a, answers_b, rows, corpus, settings.examples)
    return Comparison(
        a=summarize(a, bins, settings.confidence),
        b=summarize(b, bins, settings.confidence),
        sentence=sentence(result, settings.confidence, test, counts),
        caveats=caveats(a, b, result, settings.confidence),
        confidence=settings.confidence,
        test=test,
        reviews=len(rows),
        changes=changes(a, b),
        result=result,
        discordant=counts,
        groups=groups(answers_a, answers_b, rows, corpus, params, settings),
        only_a=examples[0],
        only_b=examples[1],
        reliability=(reliabilities(a, bins), reliabilities(b, bins)),
        curves=(curves(a), curves(b)),
        gradients=(gradients(a), gradients(b)),
    )


def summarize(group: RunGroup, bins: int, confidence: float) -> Summary:
    """A group's metrics and cost."""
    tables = [Predictions(training.predictions, bins) for training in group.trainings]
    return Summary(
        label=group.label,
        run_id=group.run_id,
        name=group.name,
        runs=[training.run_id for training in group.trainings],
        metrics={
            name: spread(metric, tables, confidence)
            for name, metric in shown_in("headline").items()
        },
        cost=group.cost,
    )


def spread(metric: Metric, tables: Sequence[Predictions], confidence: float) -> Spread:
    """A metric of a group, from the predictions of each training."""
    values = np.array([metric.of(table) for table in tables])
    mean, low, high = float(values.mean()), float(values.min()), float(values.max())
    if len(tables) > 1:
        return Spread(mean, None, float(values.std(ddof=1)), low, high)
    return Spread(mean, interval(metric, tables[0], confidence), None, low, high)


def reliabilities(group: RunGroup, bins: int) -> list[pd.DataFrame]:
    """The reliability curve of each training."""
    return [reliability(training.predictions, bins) for training in group.trainings]


def curves(group: RunGroup) -> list[pd.DataFrame]:
    """The history of each training."""
    return [training.history for training in group.trainings]


def gradients(group: RunGroup) -> list[pd.DataFrame]:
    """The trained model's gradients of each training that has them."""
    tables = [training.gradients for training in group.trainings]
    return [table for table in tables if table is not None]


def changes(a: RunGroup, b: RunGroup) -> list[Change]:
    """The params that differ, in the order of `params.yaml`; digests are not params."""
    values_a, values_b = values(a), values(b)
    names = [*values_a, *(name for name in values_b if name not in values_a)]
    pairs = [(name, values_a.get(name, ABSENT), values_b.get(name, ABSENT)) for name in names]
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def values(group: RunGroup) -> dict[str, str]:
    """A group's params as texts; several seeds stand side by side."""
    digests = ("model.", "data.")
    settings = [training.params for training in group.trainings]
    return {
        name: ", ".join(dict.fromkeys(str(used.get(name)) for used in settings))
        for name in settings[0]
        if not name.startswith(digests)
    }
