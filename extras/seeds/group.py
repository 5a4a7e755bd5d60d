"""A group of trainings that differ in nothing but their seeds, and its parent run in MLflow."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from extras.common import run_groups
from extras.common.run_groups import PARENT, SEED_KEY, SEED_RUNS
from sentiment.evaluation.metrics import metrics_for
from workflow import tracking

SEED = "train.seed"
ACCURACY = "test_accuracy"


class SeedRun(NamedTuple):
    """A training of the group, with its flat params and its metrics on the test set."""

    seed: int
    experiment: str
    run_id: str
    flat_params: dict[str, Any]
    metrics: dict[str, Any]


class SeedGroup(NamedTuple):
    """Trainings by seed, with the name in MLflow's table and the key of their params and code."""

    name: str
    key: str
    runs: list[SeedRun]


def group_metrics(runs: Sequence[SeedRun]) -> dict[str, float]:
    """Mean and spread of the test's metrics that every training has: one may not be defined."""
    spreads: dict[str, float] = {}
    for name in (f"test_{name}" for name in metrics_for("groups")):
        values = [run.metrics[name] for run in runs if name in run.metrics]
        if len(values) == len(runs):
            spreads |= {f"{name}_mean": float(np.mean(values))}
            spreads |= {f"{name}_sd": float(np.std(values, ddof=1))}
    accuracies = [run.metrics[ACCURACY] for run in runs]
    return spreads | {f"{ACCURACY}_min": min(accuracies), f"{ACCURACY}_max": max(accuracies)}


def log_group(group: SeedGroup) -> str:
    """Log the group to its parent run, and return that run's id."""
    flat_params = dict(group.runs[0].flat_params)
    del flat_params[SEED]
    run_ids = {run.seed: run.run_id for run in group.runs}
    with run_groups.parent_run_lock():
        parent = tracking.parent_run(SEED_KEY, group.key, group.name)
        for run_id in run_ids.values():
            tracking.log_tags(tracking.get_run(run_id), {PARENT: parent.run_id})
        tracking.log_tags(parent, {SEED_RUNS: json.dumps(run_ids)})
        tracking.log_params(parent, flat_params)
        tracking.log_metrics(parent, group_metrics(group.runs))
    return parent.run_id


def to_json(group: SeedGroup, run_id: str) -> dict[str, Any]:
    """A group and its parent run as JSON takes them."""
    trainings = [
        {name: value for name, value in run._asdict().items() if name != "flat_params"}
        for run in group.runs
    ]
    spreads = group_metrics(group.runs)
    return {"run_id": run_id, "name": group.name, "metrics": spreads, "trainings": trainings}


def format_group(group: SeedGroup, run_id: str) -> str:
    """A group and its parent run as a reader sees them."""
    spreads = group_metrics(group.runs)
    low, high = spreads[f"{ACCURACY}_min"], spreads[f"{ACCURACY}_max"]
    rows = [
        f"{run.seed:>10}  {run.metrics[ACCURACY]:>8.4f}  {run.run_id}  {run.experiment}"
        for run in group.runs
    ]
    means = [
        f"{metric.label} {spreads[f'test_{name}_mean']:.4f} ± {spreads[f'test_{name}_sd']:.4f}"
        for name, metric in metrics_for("groups").items()
        if f"test_{name}_mean" in spreads
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
