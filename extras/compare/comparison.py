"""Compare evaluated runs: their params, their metrics, and the accuracies of two by a test."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sentiment.evaluation.metrics import CONFIDENCE, Interval
from workflow.promotion import (
    DiscordantPairs,
    count_discordant_pairs,
    is_correct,
    mcnemar_p_value,
)
from workflow.versions import Evaluation

ABSENT = "–"  # a param or a metric that a side does not have
SHOWN_METRICS = "^(test_|val_|seconds$)"


class Side(NamedTuple):
    """A run, or the child runs of a parent run.

    Attributes:
        letter: what tables call it.
        run_id: id of the run, or of the parent run. `name` likewise.
        run_ids: id of each evaluated run: of the run itself, or of the child runs.
        params: params of each of these runs, as MLflow's texts. `metrics` likewise.
        evaluations: the evaluation of each.
    """

    letter: str
    run_id: str
    name: str
    run_ids: list[str]
    params: list[dict[str, str]]
    metrics: list[dict[str, float]]
    evaluations: list[Evaluation[Any]]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each run is right about each review, shape (runs, reviews)."""
        return np.stack([is_correct(each.predictions) for each in self.evaluations])


class Difference(NamedTuple):
    """The difference of two accuracies.

    Attributes:
        value: accuracy of B minus accuracy of A.
        interval: its confidence interval.
        p_value: p-value of the test that they are equal.
        test: name of the test.
    """

    value: float
    interval: Interval
    p_value: float
    test: str


def describe_runs(sides: Sequence[Side]) -> str:
    """Write a comparison of two or more sides as text."""
    runs = pd.DataFrame(
        {
            "": [side.letter for side in sides],
            "run": [side.run_id for side in sides],
            "name": [side.name for side in sides],
        }
    )
    changes = changed_params(sides)
    parts = [format_table(runs, "left")]
    if len(sides) == 2:
        parts.append(conclusion(*sides))
    if changes.empty:
        parts.append("No param differs.")
    else:
        parts.append(format_table(changes, "right"))
    parts.append(format_table(metrics_table(sides), "right"))
    return "\n\n".join(parts)


def format_table(table: pd.DataFrame, alignment: str) -> str:
    """Write a table of texts. The alignment is that of all columns but the first."""
    return table.to_markdown(
        index=False,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left", *[alignment] * (table.shape[1] - 1)],
    )


def changed_params(sides: Sequence[Side]) -> pd.DataFrame:
    """Return a row for each param that differs. Different values of a side are listed."""
    names = sorted({name for side in sides for params in side.params for name in params})
    rows = []
    for name in names:
        values = [
            ", ".join(dict.fromkeys(params.get(name, ABSENT) for params in side.params))
            for side in sides
        ]
        if len(set(values)) > 1:
            rows.append((name, *values))
    return pd.DataFrame(rows, columns=["param", *(side.letter for side in sides)])


def metrics_table(sides: Sequence[Side]) -> pd.DataFrame:
    """Return a row for each metric: the mean of each side, and its difference to the first side."""
    means = pd.DataFrame({side.letter: mean_metrics(side) for side in sides}).sort_index()
    first = sides[0].letter
    columns = {first: means[first].map("{:.4f}".format, na_action="ignore")}
    for side in sides[1:]:
        values = means[side.letter]
        difference = values - means[first]
        columns[side.letter] = values.map("{:.4f}".format, na_action="ignore")
        columns[f"{side.letter} − {first}"] = difference.map("{:+.4f}".format, na_action="ignore")
    return pd.DataFrame(columns).fillna(ABSENT).rename_axis("metric").reset_index()


def mean_metrics(side: Side) -> "pd.Series[float]":
    """Return the mean of each metric that all runs of a side have."""
    table = pd.DataFrame(side.metrics).filter(regex=SHOWN_METRICS)
    return table.mean(skipna=False).dropna()


def conclusion(a: Side, b: Side) -> str:
    """Say in a sentence whether a side is more accurate, and no more than the p-value allows."""
    difference = compare_accuracies(a.correct, b.correct)
    if difference.p_value >= 1 - CONFIDENCE:
        lead = "No difference shown"
    else:
        better = b if difference.value > 0 else a
        lead = f"{better.letter} is more accurate"
    value, low, high = (100 * each for each in (difference.value, *difference.interval))
    return (
        f"{lead}: {b.letter} − {a.letter} is {value:+.2f} percentage points of accuracy on "
        f"{a.correct.shape[1]:,} reviews ({CONFIDENCE:.0%} interval {low:+.2f} to {high:+.2f}, "
        f"{difference.test}, p = {difference.p_value:.2g})."
    )


def compare_accuracies(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Difference:
    """Compare two runs by review. If a side has several runs, each run is one observation.

    Args:
        a: whether each run of A is right about each review, shape (runs, reviews).
        b: the same of B.
    """
    accuracies_a = a.mean(axis=1)
    accuracies_b = b.mean(axis=1)
    value = float(accuracies_b.mean() - accuracies_a.mean())
    if len(a) == len(b) == 1:
        pairs = count_discordant_pairs(a[0], b[0])
        interval = paired_interval(pairs, a.shape[1])
        return Difference(value, interval, mcnemar_p_value(pairs), "McNemar's exact test")
    interval, p_value = t_test(accuracies_a, accuracies_b)
    return Difference(value, interval, p_value, f"t-test of {len(a)} and {len(b)} runs")


def paired_interval(pairs: DiscordantPairs, reviews: int) -> Interval:
    """Return the confidence interval of accuracy B minus accuracy A on the same reviews.

    Given their number, the discordant pairs that only B gets right have a binomial distribution.
    Its exact interval contains one half, where A and B are equally accurate, if and only if the
    p-value of McNemar's exact test is at least 1 - `CONFIDENCE`.

    Source: Clopper and Pearson 1934, The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial.
    """
    discordant = pairs.only_champion + pairs.only_candidate
    if not discordant:
        return Interval(0.0, 0.0)
    share = stats.binomtest(pairs.only_candidate, discordant).proportion_ci(CONFIDENCE, "exact")
    scale = discordant / reviews
    return Interval(scale * (2 * float(share.low) - 1), scale * (2 * float(share.high) - 1))


def t_test(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[Interval, float]:
    """Return the confidence interval of mean B minus mean A, and the p-value of a t-test.

    It is Welch's test. If a side has a single run, it is Student's, since one run has no variance.

    Source: Welch 1947, The Generalization of 'Student's' Problem.

    Args:
        a: accuracy of each run of A, shape (runs,). One of `a` and `b` has several.
        b: the same of B.
    """
    if np.ptp(a) == np.ptp(b) == 0:  # the t statistic is not defined
        return Interval(-1.0, 1.0), 1.0
    result = stats.ttest_ind(b, a, equal_var=min(len(a), len(b)) == 1)
    low, high = map(float, result.confidence_interval(CONFIDENCE))
    return Interval(low, high), float(result.pvalue)
