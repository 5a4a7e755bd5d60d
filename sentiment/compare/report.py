"""Write as text what `sentiment compare` shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentiment.compare.groups import MODEL_PARAM, compared_params, missing_seed
from sentiment.compare.seeds import difference_interval, mean_interval
from sentiment.evaluation.comparison import (
    MetricName,
    compare_predictions,
    describe_difference,
    find_verdict,
    format_interval,
    format_points,
    select_common_texts,
    unknown_labels,
)
from sentiment.evaluation.intervals import CONFIDENCE
from sentiment.evaluation.metrics import METRICS
from sentiment.project.training.naming import SEPARATOR
from sentiment.terminal import shorten
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow.entities import Run

ABSENT = "–"  # what a run does not have
SHORT_ID = 8  # characters of the id of a run
MAX_NAME = 32  # characters of a name, so that a table has at most 80 columns
MAX_VALUE = 24  # characters of a param
FEW_SEEDS = 5  # with fewer, Welch's interval is wide
NO_COMMON_TEXT = "They have no test text in common, so their models cannot be compared."
OTHER_LABELS = "They predict different labels, so their models cannot be compared."
OTHER_TEST_SETS = "Their test sets differ, so their params cannot be compared."
SAME_PARAMS = "They differ by their seeds alone."


def describe_groups(groups: "Sequence[Sequence[Run]]", metric: MetricName) -> str:
    """Write a table of groups of seeds, for each test set, and how to train another seed."""
    by_test_set: dict[str, list[Sequence[Run]]] = {}
    for group in groups:
        by_test_set.setdefault(group[0].data.tags.get(TEST_SET_DIGEST, ABSENT), []).append(group)
    parts = []
    for test_set, comparable in by_test_set.items():
        ordered = sorted(comparable, key=lambda group: -np.mean(metric_values(group, metric)))
        table = groups_table(ordered, metric)
        title = f"Test set {test_set}:\n" if len(by_test_set) > 1 else ""
        parts.append(f"{title}{format_table(table)}")
        if table["name"].duplicated().any():
            parts.append("Groups of the same name differ in code, data, packages or machine.")
        parts.append(f"To train another seed of the first row, {describe_next_seed(ordered[0])}")
    return "\n\n".join(parts)


def groups_table(groups: "Sequence[Sequence[Run]]", metric: MetricName) -> pd.DataFrame:
    """Return a row of texts for each group of seeds."""
    interval = f"{CONFIDENCE:.0%} interval"
    rows = []
    for name, group in zip(group_names(groups), groups, strict=True):
        values = metric_values(group, metric)
        row = {
            "name": shorten(name, MAX_NAME),
            "seeds": str(len(group)),
            METRICS[metric].title: f"{np.mean(values):.4f}",
            interval: ABSENT,
            "newest": str(group[0].info.run_id)[:SHORT_ID],
        }
        if len(values) > 1:
            low, high = mean_interval(values)
            row[interval] = f"{low:.4f} to {high:.4f}"
        rows.append(row)
    return pd.DataFrame(rows)


def group_names(groups: "Sequence[Sequence[Run]]") -> list[str]:
    """Return the model of each group, and the params that not all groups of this model have."""
    models = [group[0].data.params.get(MODEL_PARAM, ABSENT) for group in groups]
    params = pd.DataFrame([compared_params(group[0]) for group in groups])
    names = []
    for index, model in enumerate(models):
        alike = params[[other == model for other in models]]
        differing = alike.columns[alike.nunique(dropna=False) > 1]
        own = params[differing].iloc[index].dropna()
        names.append(SEPARATOR.join([model, *(f"{name} {value}" for name, value in own.items())]))
    return names


def metric_values(group: "Sequence[Run]", metric: MetricName) -> list[float]:
    """Return the value of a test metric of each run."""
    return [run.data.metrics[f"test_{metric}"] for run in group]


def describe_runs(
    groups: "Mapping[str, Sequence[Run]]",
    runs: "Mapping[str, Run]",
    predictions: Mapping[str, pd.DataFrame],
    metric: MetricName,
) -> str:
    """Compare two runs: their models, their params over seeds, and what differs.

    Args:
        groups: the runs that differ from "A" and from "B" by their seeds alone.
        runs: "A" and "B".
        predictions: of "A" and of "B".
    """
    rows = [
        (letter, str(run.info.run_id)[:SHORT_ID], shorten(str(run.info.run_name), 60))
        for letter, run in runs.items()
    ]
    parts = [
        format_table(pd.DataFrame(rows, columns=["", "run", "name"]), left=("run", "name")),
        describe_models(predictions["A"], predictions["B"], metric),
        describe_seeds(groups, runs, metric),
        describe_params(runs["A"], runs["B"]),
    ]
    return "\n\n".join(filter(None, parts))


def describe_models(a: pd.DataFrame, b: pd.DataFrame, metric: MetricName) -> str:
    """Say whether B's model is better than A's, by their predictions for the texts of both."""
    if unknown_labels(a, b) or unknown_labels(b, a):
        return OTHER_LABELS
    of_a, of_b = select_common_texts(a, b)
    if of_b.empty:
        return NO_COMMON_TEXT
    difference = compare_predictions(of_a, of_b, metric)
    return (
        f"The model of B: {find_verdict(difference.interval).lower()}\n"
        f"{METRICS[metric].title}: A {difference.a:.4f}, B {difference.b:.4f}, on the "
        f"{difference.texts:,} texts in both test sets\n"
        f"B − A: {describe_difference(difference)}"
    )


def describe_seeds(
    groups: "Mapping[str, Sequence[Run]]", runs: "Mapping[str, Run]", metric: MetricName
) -> str:
    """Say whether the params of B are better than those of A, over their seeds."""
    a, b = groups["A"], groups["B"]
    if len({run.data.tags.get(TEST_SET_DIGEST) for run in runs.values()}) > 1:
        return OTHER_TEST_SETS
    if [run.info.run_id for run in a] == [run.info.run_id for run in b]:
        return SAME_PARAMS
    lacking = {letter: group for letter, group in groups.items() if len(group) < 2}
    if lacking:
        lines = ["Their params cannot be compared: that takes two seeds of each."]
        for letter, group in lacking.items():
            lines.append(f"To train another seed of {letter}, {describe_next_seed(group)}")
        return "\n".join(lines)
    means = [float(np.mean(metric_values(group, metric))) for group in (a, b)]
    interval = difference_interval(metric_values(a, metric), metric_values(b, metric))
    lines = [
        f"The params of B: {find_verdict(interval).lower()}",
        f"Mean {METRICS[metric].title}: A {means[0]:.4f} over {len(a)} seeds, B {means[1]:.4f} "
        f"over {len(b)} seeds",
    ]
    difference = f"B − A: {format_points(means[1] - means[0])} points"
    if interval is None:
        lines.append(f"{difference}, without an interval: no seed changes the metric")
    else:
        few = ", few seeds" if min(len(a), len(b)) < FEW_SEEDS else ""
        lines.append(f"{difference}, {CONFIDENCE:.0%} interval {format_interval(interval)}{few}")
    return "\n".join(lines)


def describe_next_seed(group: "Sequence[Run]") -> str:
    """Say how to train a seed that a group lacks."""
    run_id = str(group[0].info.run_id)[:SHORT_ID]
    return f"with the params of run {run_id}:\n  dvc exp run --temp -S seed={missing_seed(group)}"


def describe_params(a: "Run", b: "Run") -> str:
    """Write a table of the params that both runs read and that differ."""
    table = pd.DataFrame({"A": a.data.params, "B": b.data.params}).dropna()
    table = table[table["A"] != table["B"]].sort_index()
    if table.empty:
        return "No param that both have differs."
    shown = table.map(lambda value: shorten(value, MAX_VALUE))
    return format_table(shown.rename_axis("differs").reset_index())


def format_table(table: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Write a table of texts. The first column and those named are aligned to the left."""
    sides = ["left" if name in left else "right" for name in table.columns]
    return table.to_markdown(
        index=False, tablefmt="plain", disable_numparse=True, colalign=["left", *sides[1:]]
    )
