"""A group of trainings that differ in nothing but their seeds, and its parent run in MLflow."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag
from workflow.runs.logger import now

from extras.common import run_groups
from extras.common.run_groups import MEMBERS, PARENT, SEEDS
from sentiment.evaluation.metrics import metrics_for
from workflow.runs import store

SEED = "train.seed"
ACCURACY = "test_accuracy"


class Member(NamedTuple):
    """A training of the group, with all that shaped it and the test's metrics."""

    seed: int
    experiment: str
    run_id: str
    settings_used: dict[str, Any]
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
    experiment_id, client, moment = store.connect(), mlflow.MlflowClient(), now()
    settings_used = group.members[0].settings_used
    tags = {
        "mlflow.runName": group.name,
        MEMBERS: json.dumps({member.seed: member.run_id for member in group.members}),
    }
    with store.as_user_error(), run_groups.exclusive():
        parent = run_groups.find_or_make(client, experiment_id, SEEDS, group.key)
        run_id = str(parent.info.run_id)
        for member in group.members:
            client.set_tag(member.run_id, PARENT, run_id)
        client.log_batch(
            run_id,
            [Metric(name, value, moment, 0) for name, value in metrics(group.members).items()],
            [Param(name, str(x)) for name, x in settings_used.items() if name != SEED],
            [RunTag(*pair) for pair in tags.items()],
        )
    return run_id


def document(group: Group, run_id: str) -> dict[str, Any]:
    """A group and its parent run as JSON takes them."""
    trainings = [
        {name: value for name, value in member._asdict().items() if name != "settings_used"}
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
