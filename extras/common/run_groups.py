"""Runs that train nothing: parent runs, and runs that use model versions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from workflow import files, provenance, store, tracking
from workflow.tracking import Run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# Names of runs that commands accept in addition to ids
WORKSPACE = "workspace"
CHAMPION = "champion"
PARENT = "mlflow.parentRunId"  # tag of a child run
# Tags of the parent run of a seed group
SEED_KEY = "seeds.key"  # digest of what its runs have in common
SEED_RUNS = "seeds.runs"  # ids of its runs, as JSON by seed
LOCK = f"{store.DATABASE}.seeds.lock"


def parent_run_lock() -> FileLock:
    """Return the lock that lets one process of a project at a time create or change parent runs."""
    return FileLock(files.root() / LOCK)


@contextmanager
def run_with_versions(
    versions: "Sequence[ModelVersion]",
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[Run]:
    """Create a run that uses model versions, and end it with the block.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    tags = {**tags, **provenance.provenance_tags(), **provenance.machine_tags()}
    with tracking.plain_run(name, params, tags) as run:
        tracking.log_model_inputs(run, versions)
        yield run
