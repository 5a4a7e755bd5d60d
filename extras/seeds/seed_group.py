"""A group of trainings that differ in nothing but their seeds, and its parent run in MLflow."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from extras.common import run_groups
from extras.common.run_groups import MEMBERS, PARENT, SEEDS
from sentiment.evaluation.metrics import metrics_for
from workflow import tracking

SEED = "train.seed"
ACCURACY = "test_accuracy"


class Member(NamedTuple):
    """A training of the group, with its flat params and its metrics on the test set."""

    seed: int
    experiment: str
    run_id: str
    flat_params: dict[str, Any]
    metrics: dict[str, Any]


class Group(NamedTuple):
    """Trainings by seed, with the name in MLflow's table and the key of their params and code."""

    name: str
    key: str
    members: list[Member]


def metrics(members: Sequence[Member]) -> dict[str, float]:
    """Mean and spread of the test's metrics that every training has: one may not be defined."""
    spreads: dict[str, float] = {}
    for name in (f"test_{name}" for name in metrics_for("groups")):
        values = [member.metrics[name] for member in members if name in member.metrics]
        if len(values) == len(members):
            spreads |= {f"{name}_mean": float(np.mean(values))}
            spreads |= {f"{name}_sd": float(np.std(values, ddof=1))}
    accuracies = [member.metrics[ACCURACY] for member in members]
    return spreads | {f"{ACCURACY}_min": min(accuracies), f"{ACCURACY}_max": max(accuracies)}


def log(group: Group) -> str:
    """Log the group to its parent run, and return that run's id."""
    flat_params = dict(group.members[0].flat_params)
    del flat_params[SEED]
    run_ids = {member.seed: member.run_id for member in group.members}
    with run_groups.exclusive():
        parent = tracking.parent_run(SEEDS, group.key, group.name)
        for run_id in run_ids.values():
            tracking.log_tags(tracking.get_run(run_id), {PARENT: parent.run_id})
        tracking.log_tags(parent, {MEMBERS: json.dumps(run_ids)})
        tracking.log_params(parent, flat_params)
        tracking.log_metrics(parent, metrics(group.members))
    return parent.run_id


def document(group: Group, run_id: str) -> dict[str, Any]:
    """A group and its parent run as JSON takes them."""
    trainings = [
        {name: value for name, value in member._asdict().items() if name != "flat_params"}
        for member in group.members
    ]
    spreads = metrics(group.members)
    return {"run_id": run_id, "name": group.name, "metrics": spreads, "trainings": trainings}


def table(group: Group, run_id: str) -> str:
    """A group and its parent run as a reader sees them."""
    spreads = metrics(group.members)
    low, high = spreads[f"{ACCURACY}_min"], spreads[f"{ACCURACY}_max"]
    rows = [
        f"{member.seed:>10}  {member.metrics[ACCURACY]:>8.4f}  {member.run_id}  {member.experiment}"
        for member in group.members
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
