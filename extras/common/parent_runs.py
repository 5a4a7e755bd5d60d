"""Tags of parent runs and their child runs, and the names of runs that commands accept."""

from filelock import FileLock

from workflow import files, store

# Names of runs that commands accept in addition to ids
WORKSPACE = "workspace"
CHAMPION = "champion"
PARENT = "mlflow.parentRunId"  # tag of a child run
# Tags of the parent run of a seed group
SEED_KEY = "seeds.key"  # digest of what its runs have in common
SEED_RUNS = "seeds.runs"  # ids of its runs, as JSON by seed
LOCK = f"{store.DATABASE}.parent-runs.lock"


def parent_run_lock() -> FileLock:
    """Return the lock that lets one process of a project at a time create or change parent runs."""
    return FileLock(files.root() / LOCK)
