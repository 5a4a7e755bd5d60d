"""A laptop's history moved to a server: read, compared, brought, and compared again."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import NullPool, create_engine

from extras.team import artifacts, checks
from extras.team.server_options import FILE, Server
from extras.team.store_history import Database, Row, renamed
from sentiment.errors import UserError, redacted
from workflow import files, store


class History(NamedTuple):
    """What is to be moved: the experiment's row, all rows by table, and files by their paths."""

    experiment: Row
    rows: dict[str, list[Row]]
    files: dict[str, Path]


def migrate(settings: Server, to: str) -> dict[str, Any]:
    """Move everything that the server does not have yet.

    Returns:
        The numbers of rows `here` and `there` of each of the `tables`; the number of `files` here;
        the numbers of rows and files that were `brought`; the paths of files that are `differing`
        in the end; and whether all is `equal`.

    Raises:
        UserError: something cannot be reached, a training is running, or the server has other
            content under the same name; nothing was moved then.
    """
    if not store.is_server(to):
        raise UserError(
            f"{redacted(to)} is not a server's URL. Use one such as https://mlflow.example.org."
        )
    if not checks.require_mlflow(settings, "runs", "alembic_version"):
        raise UserError(f"{settings.runs} is empty: start the server once, `make server`.")
    ours = read_history()
    os.environ["MLFLOW_TRACKING_URI"] = to
    experiment_id = store.connect()
    engine = create_engine(settings.runs, poolclass=NullPool)
    with store.store_errors(), engine.connect() as connection:
        server = Database(connection)
        return move(ours, server, counterpart(server, experiment_id))


def read_history() -> History:
    """Read this folder's store; UserError if there is none, or a run in it is still running."""
    path = files.root() / store.DATABASE
    if not path.is_file():
        raise UserError(f"{path} is missing: this folder has no history to move.")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # what is moved is the store in this folder
    store.connect()
    engine = create_engine(f"{store.SQLITE}{path}", poolclass=NullPool)
    with store.store_errors(), engine.connect() as connection:
        database = Database(connection)
        experiment = database.experiment()
        assert experiment  # as `connect` creates it
        rows = database.read(experiment)
    active = (run for run in rows["runs"] if run["lifecycle_stage"] == "active")
    running = [run["run_uuid"] for run in active if run["status"] == "RUNNING"]
    if running:
        raise UserError(
            f"Still running: {', '.join(running)}. Wait until it ends. If it was killed, run its "
            "command again."
        )
    place = files.root() / experiment["artifact_location"]
    paths = (path for path in place.glob("*/**/*") if path.is_file())
    return History(experiment, rows, {str(path.relative_to(place)): path for path in paths})


def counterpart(server: Database, experiment_id: str) -> Row:
    """The database's row of the server's experiment; UserError if it is another server's."""
    row = server.experiment()
    if not row or row["creation_time"] != mlflow.get_experiment(experiment_id).creation_time:
        raise UserError(
            f"The server at {redacted(store.tracking_uri())} uses another database than the one in "
            f"{FILE}: nothing was moved."
        )
    return row


def move(ours: History, server: Database, there: Row) -> dict[str, Any]:
    """Bring what is missing: files first, then all rows in one transaction; compare both."""
    rows = renamed(ours.rows, ours.experiment, there)
    new_rows = server.missing(rows)
    repository = get_artifact_repository(there["artifact_location"])
    absent, differing = artifacts.compare(ours.files, repository)
    # an upload that was killed may have left the half of a file, of a run without a row
    runs = {row["run_uuid"] for row in new_rows["runs"]}
    models = {row["model_id"] for row in new_rows["logged_models"]}
    partial = {path for path in differing if {*Path(path).parts} & (runs | models)}
    if others := differing - partial:
        raise UserError(
            "The server has other files under the same path, so that nothing was moved:"
            + "".join(f"\n  {path}" for path in sorted(others))
        )
    server.connection.commit()  # no transaction stays open while files are brought
    new_files = {path: ours.files[path] for path in absent | partial}
    artifacts.put(new_files, repository)
    server.write(new_rows)
    lacking = server.missing(rows)
    server.connection.commit()
    absent, differing = artifacts.compare(ours.files, repository)
    return {
        "tables": [
            {"name": name, "here": len(of_table), "there": len(of_table) - len(lacking[name])}
            for name, of_table in rows.items()
        ],
        "files": len(ours.files),
        "brought": {"rows": sum(map(len, new_rows.values())), "files": len(new_files)},
        "differing": sorted(absent | differing),
        "equal": not absent | differing and not any(lacking.values()),
    }


def summary(result: dict[str, Any], to: str) -> str:
    """What `migrate` returned, for a reader."""
    numbers = "{rows:,} rows and {files:,} files".format_map(result["brought"])
    lines = [f"DIFFERENT: {path}" for path in result["differing"]]
    state = "equal" if result["equal"] else "DIFFERENT"
    return "\n".join([*lines, f"{numbers} were brought to {redacted(to)}: both are {state} now."])
