"""Runs that have others below them, such as a group of seeds; no training is logged to them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from workflow import files
from workflow.runs import store
from workflow.runs.logger import RunLogger, guarded

if TYPE_CHECKING:
    import mlflow

PARENT = "mlflow.parentRunId"  # tag: the run that this one is listed below
LOCK = f"{store.DATABASE}.seeds.lock"
# tags: what a sweep's best params are, as a key; of a run with them, that sweep's run; of the
# sweep's run, that run
WINNER, SWEEP_RUN, REPRODUCED = "sweep.winner", "sweep.run", "sweep.reproduced"


def exclusive() -> FileLock:
    """Held while a parent is made or changed: one process of this project at a time does."""
    return FileLock(files.root() / LOCK)


def find_or_make(
    client: "mlflow.MlflowClient", experiment_id: str, tag: str, key: str
) -> "mlflow.entities.Run":
    """The parent run with this tag, finished from its start.

    Args:
        client: of the store.
        experiment_id: MLflow's experiment.
        tag: what kind of group it is the parent of.
        key: the tag's value: what the group's trainings have in common.
    """
    found = client.search_runs([experiment_id], f"tags.`{tag}` = '{key}'", max_results=1)
    parent = found[0] if found else client.create_run(experiment_id, tags={tag: key})
    if parent.info.status != "FINISHED":
        client.set_terminated(parent.info.run_id)
    return parent


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Params as MLflow keeps them."""
    return {name: str(value) for name, value in params.items()}


@guarded
def link_winner(log: RunLogger, key: str) -> None:
    """Link a run with the sweep that found its params, if one did.

    Args:
        log: of the run.
        key: of everything that shapes it, as the sweep's tag `WINNER` has it.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for sweep in client.search_runs([log.run.experiment_id], f"tags.`{WINNER}` = '{key}'"):
        client.set_tag(log.run.run_id, SWEEP_RUN, sweep.info.run_id)
        client.set_tag(sweep.info.run_id, REPRODUCED, log.run.run_id)
