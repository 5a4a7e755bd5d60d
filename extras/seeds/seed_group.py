"""A group of trainings that differ in nothing but their seeds, and its parent run in MLflow."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from extras.common import run_groups
from extras.common.run_groups import MEMBERS, PARENT, SEEDS
from sentiment.errors import UserError
from workflow.runs import store
from workflow.runs.identity import fingerprint
from workflow.runs.logger import now

if TYPE_CHECKING:
    import mlflow

SEED = "train.seed"
EXPERIMENTS = "seeds.experiments"  # tag of the parent run: DVC's names, as JSON by seed
ACCURACY = "test_accuracy"


class Member(NamedTuple):
    """A training of the group, with all that shaped it and the test's metrics."""

    seed: int
    experiment: str
    run_id: str
    settings_used: dict[str, Any]
    metrics: dict[str, Any]


class Group(NamedTuple):
    """Trainings by seed, with the name in MLflow's table and the `key` of the group."""

    name: str
    key: str
    members: list[Member]


def key(settings_used: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """A name for trainings that differ in nothing but their seed, as DVC tells them apart.

    Machine and packages are left out: DVC takes outputs from its cache whatever made them.
    """
    return fingerprint({"params": seedless(settings_used), "code": dict(code)})


def seedless(settings_used: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings_used.items() if name != SEED}


def require_same_data(members: Sequence[Member]) -> None:
    """Raise UserError where trainings have other texts: a file at an address changed meanwhile."""
    data = [
        {name: value for name, value in member.settings_used.items() if name.startswith("fetch.")}
        for member in members
    ]
    if any(other != data[0] for other in data):
        raise UserError(
            "The texts changed between two trainings, so that they are no group: run `dvc repro "
            "fetch`, and then the command again."
        )


def metrics(members: Sequence[Member]) -> dict[str, float]:
    """Mean and spread of the test's metrics that every training has: one may not be defined."""
    from sentiment.scoring.metrics import shown_in  # imports scikit-learn, which takes a second

    spreads: dict[str, float] = {}
    for name in (f"test_{name}" for name in shown_in("groups")):
        values = [member.metrics[name] for member in members if name in member.metrics]
        if len(values) == len(members):
            spreads |= {f"{name}_mean": float(np.mean(values))}
            spreads |= {f"{name}_sd": float(np.std(values, ddof=1))}
    accuracies = [member.metrics[ACCURACY] for member in members]
    return spreads | {f"{ACCURACY}_min": min(accuracies), f"{ACCURACY}_max": max(accuracies)}


def log(group: Group) -> str:
    """Log the group to its parent run, and return that run's id; again changes nothing."""
    import mlflow

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    with store.as_user_error(), run_groups.exclusive():
        parent = run_groups.find_or_make(client, experiment_id, SEEDS, group.key)
        adopt(client, parent, {member.run_id for member in group.members})
        describe(client, parent, group)
    return str(parent.info.run_id)


def adopt(client: "mlflow.MlflowClient", parent: "mlflow.entities.Run", runs: set[str]) -> None:
    """Let just these runs be the parent's children."""
    parent_id = parent.info.run_id
    children = client.search_runs([parent.info.experiment_id], f"tags.`{PARENT}` = '{parent_id}'")
    before = {run.info.run_id for run in children}
    for run_id in before - runs:
        client.delete_tag(run_id, PARENT)
    for run_id in runs - before:
        client.set_tag(run_id, PARENT, parent_id)


def describe(client: "mlflow.MlflowClient", parent: "mlflow.entities.Run", group: Group) -> None:
    """Give the parent run the group's name, params, metrics and members."""
    from mlflow.entities import Metric, Param, RunTag

    before, moment = parent.data.metrics, now()
    spreads = metrics(group.members).items()
    params = run_groups.as_text(seedless(group.members[0].settings_used))
    tags = {
        "mlflow.runName": group.name,
        MEMBERS: json.dumps({member.seed: member.run_id for member in group.members}),
        EXPERIMENTS: json.dumps({member.seed: member.experiment for member in group.members}),
    }
    client.log_batch(
        parent.info.run_id,
        [Metric(name, value, moment, 0) for name, value in spreads if before.get(name) != value],
        [Param(*pair) for pair in params.items()],
        [RunTag(*pair) for pair in tags.items()],
    )


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
    from sentiment.scoring.metrics import shown_in  # see `metrics`

    spreads = metrics(group.members)
    low, high = spreads[f"{ACCURACY}_min"], spreads[f"{ACCURACY}_max"]
    rows = [
        f"{member.seed:>10}  {member.metrics[ACCURACY]:>8.4f}  {member.run_id}  {member.experiment}"
        for member in group.members
    ]
    means = [
        f"{metric.label} {spreads[f'test_{name}_mean']:.4f} ± {spreads[f'test_{name}_sd']:.4f}"
        for name, metric in shown_in("groups").items()
        if f"test_{name}_mean" in spreads
    ]
    return "\n".join(
        [
            f"{group.name}: run {run_id}",
            f"{'seed':>10}  {'accuracy':>8}  {'run':32}  experiment",
            *rows,
            f"Mean ± standard deviation: {', '.join(means)}",
            f"Seeds alone make differences of up to {100 * (high - low):.2f} points of accuracy, "
            f"{low:.4f} to {high:.4f}.",
            f"Compare the group with a run or another group: make compare B={run_id}",
        ]
    )
