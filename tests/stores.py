"""Stores that are copied, because MLflow takes seconds to make one."""

import sqlite3
from contextlib import closing
from pathlib import Path

# The columns of a store that have the path of its artifacts
PATHS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def move_store(database: Path, before: str, after: str) -> None:
    """Change how the paths of the artifacts begin in a store."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in PATHS.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(change, (before, after))
