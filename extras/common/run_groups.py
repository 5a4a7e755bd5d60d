"""Runs that have others below them, such as a group of seeds; no training is logged to them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from workflow import files
from workflow.runs import store

if TYPE_CHECKING:
    import mlflow

WORKSPACE, CHAMPION = "workspace", "champion"  # names of runs, beside their ids
PARENT = "mlflow.parentRunId"  # tag: the run that this one is listed below
SEEDS = "seeds.key"  # tag of the parent of a group of seeds: what its trainings have in common
MEMBERS = "seeds.runs"  # tag of it: its trainings' runs, as JSON by seed
LOCK = f"{store.DATABASE}.seeds.lock"


def exclusive() -> FileLock:
    """Held while a parent is changed, or trials are to wait again: by one process of a project."""
    return FileLock(files.root() / LOCK)


def find_or_make(
    client: "mlflow.MlflowClient", experiment_id: str, tag: str, key: str
) -> "mlflow.entities.Run":
    """The parent run, finished from its start, whose tag says what its trainings have in common."""
    parents = client.search_runs([experiment_id], f"tags.`{tag}` = '{key}'", max_results=1)
    parent = parents[0] if parents else client.create_run(experiment_id, tags={tag: key})
    if parent.info.status != "FINISHED":
        client.set_terminated(parent.info.run_id)
    return parent


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Params as MLflow keeps them."""
    return {name: str(value) for name, value in params.items()}
