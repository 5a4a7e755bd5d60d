"""Runs that train nothing: parents, such as of a group of seeds, and users of registered models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from workflow import files, provenance, store, tracking
from workflow.tracking import Run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WORKSPACE, CHAMPION = "workspace", "champion"  # names of runs, beside their ids
PARENT = "mlflow.parentRunId"  # tag: the run that this one is listed below
SEED_KEY = "seeds.key"  # tag of the parent of a group of seeds: what its trainings have in common
SEED_RUNS = "seeds.runs"  # tag of it: its trainings' runs, as JSON by seed
LOCK = f"{store.DATABASE}.seeds.lock"


def parent_run_lock() -> FileLock:
    """Return the lock under which one process of a project creates or changes parent runs."""
    return FileLock(files.root() / LOCK)


@contextmanager
def run_with_versions(
    versions: "Sequence[ModelVersion]",
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[Run]:
    """Create a run that uses these model versions, and end it with the block.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    tags = {**tags, **provenance.provenance_tags(), **provenance.machine_tags()}
    with tracking.plain_run(name, params, tags) as run:
        tracking.log_model_inputs(run, versions)
        yield run
