"""A seed group, and its parent run in MLflow."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from extras.common import parent_runs
from extras.common.parent_runs import PARENT, SEED_KEY, SEED_RUNS
from sentiment.evaluation.metrics import metrics_for
from workflow import tracking

SEED = "train.seed"
ACCURACY = "test_accuracy"


class SeedRun(NamedTuple):
    """A run of a seed group, with its flat params and its test metrics."""

    seed: int
    experiment: str
    run_id: str
    flat_params: dict[str, Any]
    metrics: dict[str, Any]


class SeedGroup(NamedTuple):
    """Runs that differ only in `train.seed`.

    Attributes:
        name: name of the parent run.
        key: digest of what the runs have in common.
        runs: the runs, sorted by seed.
    """

    name: str
    key: str
    runs: list[SeedRun]


def group_metrics(runs: Sequence[SeedRun]) -> dict[str, float]:
    """Return the metrics of a seed group: means, standard deviations, and range of the accuracy.

    A metric is left out if it is not defined for every run.
    """
    metrics: dict[str, float] = {}
    for name in (f"test_{name}" for name in metrics_for("groups")):
        values = [run.metrics[name] for run in runs if name in run.metrics]
        if len(values) == len(runs):
            metrics[f"{name}_mean"] = float(np.mean(values))
            metrics[f"{name}_sd"] = float(np.std(values, ddof=1))
    accuracies = [run.metrics[ACCURACY] for run in runs]
    return metrics | {f"{ACCURACY}_min": min(accuracies), f"{ACCURACY}_max": max(accuracies)}


def log_group(group: SeedGroup) -> str:
    """Log a seed group to its parent run, and return the parent run's id."""
    flat_params = dict(group.runs[0].flat_params)
    del flat_params[SEED]
    run_ids = {run.seed: run.run_id for run in group.runs}
    with parent_runs.parent_run_lock():
        parent = tracking.find_or_create_parent_run(SEED_KEY, group.key, group.name)
        for run_id in run_ids.values():
            tracking.log_tags(tracking.get_run(run_id), {PARENT: parent.run_id})
        tracking.log_tags(parent, {SEED_RUNS: json.dumps(run_ids)})
        tracking.log_params(parent, flat_params)
        tracking.log_metrics(parent, group_metrics(group.runs))
    return parent.run_id


def to_json(group: SeedGroup, run_id: str) -> dict[str, Any]:
    """Return what `make seeds JSON=1` prints.

    Args:
        group: the seed group.
        run_id: id of its parent run.
    """
    trainings = [
        {name: value for name, value in run._asdict().items() if name != "flat_params"}
        for run in group.runs
    ]
    metrics = group_metrics(group.runs)
    return {"run_id": run_id, "name": group.name, "metrics": metrics, "trainings": trainings}


def format_group(group: SeedGroup, run_id: str) -> str:
    """Return a seed group and its parent run as a text for a reader."""
    metrics = group_metrics(group.runs)
    low = metrics[f"{ACCURACY}_min"]
    high = metrics[f"{ACCURACY}_max"]
    rows = [
        f"{run.seed:>10}  {run.metrics[ACCURACY]:>8.4f}  {run.run_id}  {run.experiment}"
        for run in group.runs
    ]
    means = [
        f"{metric.label} {metrics[f'test_{name}_mean']:.4f} ± {metrics[f'test_{name}_sd']:.4f}"
        for name, metric in metrics_for("groups").items()
        if f"test_{name}_mean" in metrics
    ]
    return "\n".join(
        [
            f"{group.name}: run {run_id}",
            f"{'seed':>10}  {'accuracy':>8}  {'run':32}  experiment",
            *rows,
            f"Mean ± standard deviation: {', '.join(means)}",
            f"Range of the accuracy: {low:.4f} to {high:.4f}",
        ]
    )
