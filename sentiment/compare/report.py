"""Write as text what `sentiment compare` shows."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentiment.compare.groups import group_name, identity
from sentiment.compare.significance import (
    AccuracyDifference,
    compare_models,
    compare_seeds,
    mean_interval,
)
from sentiment.evaluation.metrics import CONFIDENCE
from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.presets import SEED
from sentiment.project.provenance import COMMIT
from sentiment.tracking.promotion import format_p_value, is_correct
from sentiment.tracking.runs import KEPT_VAL_ACCURACY, TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow.entities import Run

TEST_ACCURACY = "test_accuracy"
SHOWN_METRICS = "^(test_|val_)"
ABSENT = "–"  # what a run does not have
SHORT_ID = 8  # characters of the id of a run or a commit
MORE_SEEDS = "dvc exp run --temp -S train.seed=43"  # or another one


def describe_groups(groups: "Sequence[Sequence[Run]]") -> str:
    """Write a table of groups of seeds, for each test set, and how to train more seeds."""
    by_test_set: dict[str, list[Sequence[Run]]] = {}
    for group in groups:
        by_test_set.setdefault(group[0].data.tags.get(TEST_SET_DIGEST, ABSENT), []).append(group)
    parts = []
    for test_set, comparable in by_test_set.items():
        table = groups_table(comparable)
        title = f"Test set {test_set}:\n" if len(by_test_set) > 1 else ""
        parts.append(f"{title}{format_table(table)}")
        if table["name"].duplicated().any():
            parts.append(
                "Groups of the same name differ in other params, code, data, packages or machine."
            )
    parts.append(f"To train another seed, such as 43, of the params in params.yaml: {MORE_SEEDS}")
    return "\n\n".join(parts)


def groups_table(groups: "Sequence[Sequence[Run]]") -> pd.DataFrame:
    """Return a row of texts for each group of seeds, the most accurate first."""
    ordered = sorted(groups, key=lambda group: -np.mean(accuracies(group)))
    return pd.DataFrame([group_row(group) for group in ordered])


def group_row(group: "Sequence[Run]") -> dict[str, str]:
    values = accuracies(group)
    interval = f"{CONFIDENCE:.0%} interval"
    row = {
        "name": group_name(group[0]),
        "seeds": str(len(group)),
        "test accuracy": f"{np.mean(values):.4f}",
        "deviation": ABSENT,
        interval: ABSENT,
        "val accuracy": f"{np.mean(accuracies(group, KEPT_VAL_ACCURACY)):.4f}",
        "newest run": str(group[0].info.run_id)[:SHORT_ID],
    }
    if len(values) > 1:
        low, high = mean_interval(values)
        row["deviation"] = f"{np.std(values, ddof=1):.4f}"
        row[interval] = f"{low:.4f} to {high:.4f}"
    return row


def accuracies(group: "Sequence[Run]", metric: str = TEST_ACCURACY) -> list[float]:
    """Return the test accuracy of each run, or another metric."""
    return [run.data.metrics[metric] for run in group]


def describe_runs(
    a: "Run",
    b: "Run",
    predictions: tuple[pd.DataFrame, pd.DataFrame],
    groups: "Mapping[Hashable, Sequence[Run]]",
) -> str:
    """Compare two runs: their models, their params over seeds, what differs, and their metrics.

    Args:
        predictions: of A and of B, for the same reviews.
        groups: see `sentiment.compare.groups.group_runs`.
    """
    rows = [(letter, run.info.run_id, run.info.run_name) for letter, run in (("A", a), ("B", b))]
    runs = pd.DataFrame(rows, columns=["", "run", "name"])
    parts = [
        format_table(runs, left=("run", "name")),
        describe_models(*predictions),
        describe_seeds(a, b, groups),
        describe_changes(a, b),
        describe_metrics(a, b),
    ]
    return "\n\n".join(filter(None, parts))


def describe_models(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Say whether one of two models is more accurate, given their predictions."""
    difference = compare_models(is_correct(a), is_correct(b))
    return "These two models: " + describe_difference(
        difference, f"accuracy on {len(a):,} reviews", "McNemar's exact test"
    )


def describe_seeds(a: "Run", b: "Run", groups: "Mapping[Hashable, Sequence[Run]]") -> str:
    """Say whether the params of one of two runs are more accurate, over their seeds."""
    if identity(a) == identity(b):
        return "Their params are the same, and so are code, data, packages and machine."
    values_a, values_b = (accuracies(groups[identity(run)]) for run in (a, b))
    count = f"{len(values_a)} and {len(values_b)} seeds"
    if min(len(values_a), len(values_b)) < 2:
        return f"Their params have {count}. To compare them, train two of each: {MORE_SEEDS}"
    difference = compare_seeds(values_a, values_b)
    if difference is None:
        return f"Their params cannot be compared: no accuracy differs between their {count}."
    return "Their params: " + describe_difference(
        difference, f"mean accuracy over {count}", "Welch's test"
    )


def describe_difference(difference: AccuracyDifference, of: str, test: str) -> str:
    """Say whether B is more accurate than A, and no more than the p-value allows.

    Args:
        of: what differs.
        test: the name of the test.
    """
    lead = "no difference is shown"
    if difference.p_value < 1 - CONFIDENCE:
        lead = f"{'B' if difference.value > 0 else 'A'} is more accurate"
    value, low, high = (100 * each for each in (difference.value, *difference.interval))
    return (
        f"{lead}. B − A is {value:+.2f} percentage points of {of} ({CONFIDENCE:.0%} interval "
        f"{low:+.2f} to {high:+.2f}; {test}, p {format_p_value(difference.p_value)})."
    )


def describe_changes(a: "Run", b: "Run") -> str:
    """Write a table of params, commit and machine, if they differ."""
    table = pd.DataFrame({"A": params_and_machine(a), "B": params_and_machine(b)}).fillna(ABSENT)
    table = table[table["A"] != table["B"]].sort_index()
    parts = []
    if len(table):
        parts.append(format_table(table.rename_axis("differs").reset_index()))
    if identity(a) != identity(b) and table.index.isin([SEED, "commit"]).all():
        parts.append("No other param differs, but code or data does.")
    return "\n\n".join(parts)


def params_and_machine(run: "Run") -> dict[str, str]:
    """Return the params, the commit and the machine of a run."""
    tags = run.data.tags
    machine = {name: tags[name] for name in MACHINE_TAGS if name in tags}
    return {**run.data.params, **machine, "commit": tags.get(COMMIT, ABSENT)[:SHORT_ID]}


def describe_metrics(a: "Run", b: "Run") -> str:
    """Write the metrics of two runs beside each other."""
    values = pd.DataFrame({"A": a.data.metrics, "B": b.data.metrics})
    values = values.filter(regex=SHOWN_METRICS, axis="index").sort_index()
    values["B − A"] = values["B"] - values["A"]
    formats = {"A": "{:.4f}", "B": "{:.4f}", "B − A": "{:+.4f}"}
    texts = {
        name: values[name].map(form.format, na_action="ignore") for name, form in formats.items()
    }
    table = pd.DataFrame(texts).fillna(ABSENT)
    return format_table(table.rename_axis("metric").reset_index())


def format_table(table: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Write a table of texts. The first column and those named are aligned to the left."""
    sides = ["left" if name in left else "right" for name in table.columns]
    return table.to_markdown(
        index=False, tablefmt="plain", disable_numparse=True, colalign=["left", *sides[1:]]
    )
