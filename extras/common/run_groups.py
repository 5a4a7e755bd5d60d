"""Runs that train nothing: parents, such as of a group of seeds, and users of registered models."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from workflow.runs.logger import RunLogger

from sentiment.errors import UserError
from workflow import files
from workflow.registry import champion
from workflow.runs import identity, lifecycle, store

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

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


@contextmanager
def using(
    versions: "Sequence[ModelVersion]",
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[RunLogger]:
    """Start a run that uses these versions; end it as the block ends.

    Raises:
        UserError: the store cannot be used at the start, or failed meanwhile.
    """
    tags = {**tags, **identity.provenance(), **identity.describe()}
    with (
        tempfile.TemporaryDirectory() as scratch,
        FileLock(Path(scratch, "lock")) as lock,
        lifecycle.start_run(name, params, tags, Path(lock.lock_file), with_model=False) as log,
    ):
        log.consequence = "Logging to MLflow stops here"
        champion.log_use(log, versions)
        yield log
        if log.lost:
            raise UserError(f"Run {log.run.run_id} is incomplete: run the command again.")
