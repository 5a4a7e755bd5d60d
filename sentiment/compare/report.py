"""Write as text what `sentiment compare` shows."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sentiment.compare.groups import (
    compared_params,
    group_name,
    missing_seed,
    one_for_each_seed,
)
from sentiment.compare.significance import compare_seeds, mean_interval
from sentiment.evaluation.comparison import (
    MetricName,
    compare_with_champion,
    select_common_texts,
    unknown_labels,
)
from sentiment.evaluation.metrics import CONFIDENCE, METRICS
from sentiment.params import NO_VECTORS, SEED, Params, flatten, used_fetch_params
from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.naming import SEPARATOR
from sentiment.project.provenance import COMMIT
from sentiment.tracking import store
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow.entities import Run

WIDTH = 80  # columns of a terminal
SHOWN_METRICS = "^(test_|val_)"
ABSENT = "–"  # what a run does not have
SHORT_ID = 8  # characters of the id of a run or a commit
MAX_NAME = 32  # characters of a name, so that a table has at most 80 columns
MAX_VALUE = 24  # characters of a param
NO_COMMON_TEXT = "They have no test text in common, so their models cannot be compared."
OTHER_LABELS = "They predict different labels, so their models cannot be compared."
OTHER_TEST_SETS = "Their test sets differ, so their params cannot be compared."


class Side(NamedTuple):
    """One of two runs that are compared, and the runs that repeat it."""

    run: "Run"
    group: "Sequence[Run]"


def describe_groups(groups: "Sequence[Sequence[Run]]", metric: MetricName, params: Params) -> str:
    """Write a table of groups of seeds, for each test set, and how to train more seeds.

    Args:
        params: the params in params.yaml.
    """
    by_test_set: dict[str, list[Sequence[Run]]] = {}
    for group in groups:
        by_test_set.setdefault(group[0].data.tags.get(TEST_SET_DIGEST, ABSENT), []).append(group)
    parts = []
    for test_set, comparable in by_test_set.items():
        table = groups_table(comparable, metric)
        title = f"Test set {test_set}:\n" if len(by_test_set) > 1 else ""
        parts.append(f"{title}{format_table(table)}")
        if table["name"].duplicated().any():
            parts.append(
                "Groups of the same name differ in other params, code, data, packages or machine."
            )
    present = [run for group in groups for run in group if not differing_params(params, run)]
    parts.append(
        f"To train another seed of the params in params.yaml:\n{training_command(present, {})}"
    )
    return "\n\n".join(parts)


def groups_table(groups: "Sequence[Sequence[Run]]", metric: MetricName) -> pd.DataFrame:
    """Return a row of texts for each group of seeds, the best first."""
    ordered = sorted(groups, key=lambda group: -np.mean(values_of(group, metric)))
    names = differing_names([group_name(group[0]) for group in ordered])
    rows = [group_row(name, group, metric) for name, group in zip(names, ordered, strict=True)]
    return pd.DataFrame(rows)


def differing_names(names: Sequence[str]) -> list[str]:
    """Return names without the parts that all of them have, except for the first, the section."""
    split = [name.split(SEPARATOR) for name in names]
    shared = set.intersection(*map(set, split)) if len(names) > 1 else set()
    return [
        SEPARATOR.join([section, *(part for part in parts if part not in shared)])
        for section, *parts in split
    ]


def group_row(name: str, group: "Sequence[Run]", metric: MetricName) -> dict[str, str]:
    values = values_of(group, metric)
    interval = f"{CONFIDENCE:.0%} interval"
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
    return row


def values_of(group: "Sequence[Run]", metric: MetricName) -> list[float]:
    """Return the value of a test metric of each run."""
    return [run.data.metrics[f"test_{metric}"] for run in group]


def describe_runs(
    a: Side,
    b: Side,
    predictions: tuple[pd.DataFrame, pd.DataFrame],
    metric: MetricName,
    params: Params,
) -> str:
    """Compare two runs: their models, their params over seeds, what differs, and their metrics.

    Args:
        predictions: of A and of B.
        params: the params in params.yaml.
    """
    rows = [
        (letter, str(side.run.info.run_id)[:SHORT_ID], shorten(str(side.run.info.run_name), 60))
        for letter, side in (("A", a), ("B", b))
    ]
    parts = [
        format_table(pd.DataFrame(rows, columns=["", "run", "name"]), left=("run", "name")),
        describe_models(*predictions, metric),
        describe_seeds(a, b, metric, params),
        describe_changes(a, b),
        describe_metrics(a.run, b.run),
    ]
    return "\n\n".join(filter(None, parts))


def describe_models(a: pd.DataFrame, b: pd.DataFrame, metric: MetricName) -> str:
    """Say whether B's model is better than A's, by predictions for the texts of both."""
    if unknown_labels(a, b) or unknown_labels(b, a):
        return OTHER_LABELS
    ours, theirs = select_common_texts(b, a)
    if ours.empty:
        return NO_COMMON_TEXT
    compared = compare_with_champion(ours, theirs, metric, number=1)
    difference = compared.difference
    value, low, high = (100 * each for each in (difference.value, *difference.interval))
    verdict = "no difference is shown"
    if compared.p_value < 1 - CONFIDENCE:
        verdict = f"{'B' if compared.difference.value > 0 else 'A'} is better"
    return (
        f"The two models, on {len(ours):,} texts: {verdict} (p = {compared.p_value:.2g}).\n"
        f"{METRICS[metric].title}: A {difference.champion:.4f}, B {difference.candidate:.4f}\n"
        f"B − A is {value:+.2f} points, {CONFIDENCE:.0%} interval {low:+.2f} to {high:+.2f}."
    )


def describe_seeds(a: Side, b: Side, metric: MetricName, params: Params) -> str:
    """Say whether the params of one of two runs are better, over their seeds."""
    if a.run.data.tags.get(TEST_SET_DIGEST) != b.run.data.tags.get(TEST_SET_DIGEST):
        return OTHER_TEST_SETS
    if is_repetition(a, b):
        return "Their params are the same, and so are code, data, packages and machine."
    sides = {letter: one_for_each_seed(side.group) for letter, side in (("A", a), ("B", b))}
    lacking = {letter: group for letter, group in sides.items() if len(group) < 2}
    if lacking:
        lines = [
            f"Their params have {len(sides['A'])} and {len(sides['B'])} seeds, and a comparison "
            "needs two of each."
        ]
        for letter, group in lacking.items():
            lines.append(f"To train another seed of {letter}, with the present code:")
            lines.append(training_command(group, differing_params(params, group[0])))
        return "\n".join(lines)
    difference = compare_seeds(values_of(sides["A"], metric), values_of(sides["B"], metric))
    if difference is None:
        return "Their params cannot be compared: no seed changes the metric."
    verdict = "no difference is shown"
    if difference.p_value < 1 - CONFIDENCE:
        verdict = f"{'B' if difference.value > 0 else 'A'} is better"
    value, low, high = (100 * each for each in (difference.value, *difference.interval))
    return (
        f"Their params, over {len(sides['A'])} and {len(sides['B'])} seeds: {verdict} "
        f"(Welch's test, p = {difference.p_value:.2g}).\n"
        f"B − A is {value:+.2f} points of mean {METRICS[metric].title}, {CONFIDENCE:.0%} interval "
        f"{low:+.2f} to {high:+.2f}."
    )


def is_repetition(a: Side, b: Side) -> bool:
    """Return whether two runs differ by their seeds alone."""
    return b.run.info.run_id in {run.info.run_id for run in a.group}


def differing_params(params: Params, run: "Run") -> dict[str, str]:
    """Return the params of a run, without its seed, that are not as in params.yaml.

    They have the names that `dvc exp run -S` takes.
    """
    model = run.data.params.get("model", params.model)
    named = params.model_copy(update={"model": model}) if model in params.models else params
    present = named.training.logged() | used_fetch_params(params.fetch)
    present |= flatten(params.evaluate, "evaluate.")
    different = {"model": model} if model != params.model else {}
    if named.vectors and "vectors" not in run.data.params:
        different["vectors"] = NO_VECTORS
    for name, value in compared_params(run).items():
        if not name.startswith("fitted.") and str(present.get(name)) != value:
            is_common = name == "vectors" or name.startswith(("fetch.", "evaluate."))
            different[name if is_common else f"{model}.{name}"] = value
    return different


def training_command(group: "Iterable[Run]", changes: Mapping[str, str]) -> str:
    """Return the command that trains a seed which a group lacks, and leaves params.yaml as it is.

    Args:
        changes: params that are not as in params.yaml.
    """
    values = {SEED: str(missing_seed(group)), **changes}
    options = [f"-S {shlex.quote(f'{name}={value}')}" for name, value in values.items()]
    lines = ["  dvc exp run --temp"]
    for option in options:
        if len(f"{lines[-1]} {option} \\") > WIDTH:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {option}"
    return "\n".join(lines)


def describe_changes(a: Side, b: Side) -> str:
    """Write a table of the params that both runs read, commit and machine, if they differ."""
    columns = {"A": params_and_machine(a.run), "B": params_and_machine(b.run)}
    table = pd.DataFrame(columns).dropna()
    table = table[table["A"] != table["B"]].sort_index()
    parts = []
    if len(table):
        shown = table.map(lambda value: shorten(value, MAX_VALUE))
        parts.append(format_table(shown.rename_axis("differs").reset_index()))
    if not is_repetition(a, b) and table.index.isin([SEED, "commit"]).all():
        parts.append("No other param differs, but code or data does.")
    return "\n\n".join(parts)


def params_and_machine(run: "Run") -> dict[str, str]:
    """Return the params, the commit and the machine of a run."""
    tags = run.data.tags
    machine = {name: tags[name] for name in MACHINE_TAGS if name in tags}
    return {**run.data.params, **machine, "commit": tags.get(COMMIT, ABSENT)[:SHORT_ID]}


def describe_metrics(a: "Run", b: "Run") -> str:
    """Write the metrics of two runs side by side."""
    values = pd.DataFrame({"A": a.data.metrics, "B": b.data.metrics})
    values = values.filter(regex=SHOWN_METRICS, axis="index").sort_index()
    values["B − A"] = values["B"] - values["A"]
    formats = {"A": "{:.4f}", "B": "{:.4f}", "B − A": "{:+.4f}"}
    texts = {
        name: values[name].map(form.format, na_action="ignore") for name, form in formats.items()
    }
    table = pd.DataFrame(texts).fillna(ABSENT)
    return format_table(table.rename_axis("metric").reset_index())


def describe_place(uri: str, run: "Run") -> str:
    """Return lines that say where to look at the runs in the experiment of a run."""
    pages = store.runs_url(uri, run.info.experiment_id)
    return f"\nTo look at the runs, {store.how_to_open(uri)}\n  {pages}"


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters, which ends with an ellipsis if it was cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def format_table(table: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Write a table of texts. The first column and those named are aligned to the left."""
    sides = ["left" if name in left else "right" for name in table.columns]
    return table.to_markdown(
        index=False, tablefmt="plain", disable_numparse=True, colalign=["left", *sides[1:]]
    )
