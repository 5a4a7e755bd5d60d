"""Copy a laptop's runs to a server: read both, compare, copy what is missing, compare again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from extras.team import artifacts
from extras.team.database import Database, Row, relocate, schema_version
from sentiment.errors import UserError, first_line, redact
from workflow import files, store


class History(NamedTuple):
    """Runs and models to be copied.

    Attributes:
        schema: version of the database's schema.
        experiment: row of the project's experiment.
        rows: all rows of the project, by table.
        files: path of each artifact here, by its path below the experiment's artifact location.
    """

    schema: str | None
    experiment: Row
    rows: dict[str, list[Row]]
    files: dict[str, Path]


def migrate(database_url: str, to: str) -> dict[str, Any]:
    """Copy everything that the server does not have yet.

    Args:
        database_url: URL of the server's database.
        to: the server's URL.

    Returns:
        The numbers of rows `here` and `there` of each of the `tables`; the number of `files` here;
        the numbers of rows and files that were `copied`; the paths of files that are `differing`
        in the end; and whether all is `equal`.

    Raises:
        UserError: something cannot be reached, a training is running, or the server has other
            content under the same name; nothing was copied then.
    """
    if not store.is_server(to):
        raise UserError(
            f"{redact(to)} is not a server's URL. Use one such as https://mlflow.example.org."
        )
    ours = read_history()
    os.environ["MLFLOW_TRACKING_URI"] = to
    experiment_id = store.connect()
    with connect_database(database_url, ours.schema) as connection, store.store_errors():
        server = Database(connection)
        return copy_missing(ours, server, find_experiment(server, experiment_id, database_url))


def read_history() -> History:
    """Read this folder's store.

    Raises:
        UserError: the store is missing, or a run in it is still running.
    """
    path = files.root() / store.DATABASE
    if not path.is_file():
        raise UserError(
            f"{path} is missing, so this folder has no runs to copy. Run the command in the "
            "project that has them."
        )
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # the store in this folder is copied
    store.connect()
    engine = create_engine(f"{store.SQLITE}{path}", poolclass=NullPool)
    with store.store_errors(), engine.connect() as connection:
        database = Database(connection)
        experiment = database.find_experiment()
        assert experiment  # as `connect` creates it
        rows = database.read(experiment)
        schema = schema_version(connection)
    running = [
        run["run_uuid"]
        for run in rows["runs"]
        if run["lifecycle_stage"] == "active" and run["status"] == "RUNNING"
    ]
    if running:
        raise UserError(
            f"Still running: {', '.join(running)}. Wait until it has finished. If it was killed, "
            "run its command again."
        )
    location = files.root() / experiment["artifact_location"]
    paths = [path for path in location.glob("*/**/*") if path.is_file()]
    by_artifact_path = {str(path.relative_to(location)): path for path in paths}
    return History(schema, experiment, rows, by_artifact_path)


@contextmanager
def connect_database(url: str, schema: str | None) -> Iterator[Connection]:
    """Connect to the server's database.

    Raises:
        UserError: the URL is not one, or the database cannot be used or has another schema.
    """
    try:
        engine = create_engine(url, poolclass=NullPool)
    except ArgumentError:  # the message leaves the value out, because it may hold a password
        raise UserError(
            "DATABASE is not the URL of a database. Use one such as postgresql:///mlflow."
        ) from None
    shown = redact(url)
    try:
        connection = engine.connect()
        there = schema_version(connection)
    except SQLAlchemyError as error:
        raise UserError(f"The database {shown} cannot be used: {first_line(error)}") from None
    with connection:
        if there is None:
            raise UserError(f"The database {shown} has no tables of MLflow. Name the server's.")
        if there != schema:
            raise UserError(
                f"The database {shown} has version {there} of MLflow's schema, and this folder "
                f"has {schema}. Use the same version of MLflow on both, and run `mlflow db "
                "upgrade` on the older one."
            )
        yield connection


def find_experiment(server: Database, experiment_id: str, database_url: str) -> Row:
    """Return the row of the server's experiment.

    Raises:
        UserError: the database is another server's.
    """
    row = server.find_experiment()
    if not row or row["creation_time"] != mlflow.get_experiment(experiment_id).creation_time:
        raise UserError(
            f"The server at {redact(store.tracking_uri())} uses another database than "
            f"{redact(database_url)}. Nothing was copied. Name the server's database in DATABASE."
        )
    return row


def copy_missing(ours: History, server: Database, experiment: Row) -> dict[str, Any]:
    """Copy what is missing: files first, then all rows in one transaction; compare both.

    Args:
        experiment: row of the server's experiment.

    Returns:
        See `migrate`.

    Raises:
        UserError: the server has other content under the same name; nothing was copied.
    """
    rows = relocate(ours.rows, ours.experiment, experiment)
    new_rows = server.missing(rows)
    repository = get_artifact_repository(experiment["artifact_location"])
    absent, differing = artifacts.compare_files(ours.files, repository)
    # An upload that was killed may have left part of a file, of a run that has no row yet.
    runs = {row["run_uuid"] for row in new_rows["runs"]}
    models = {row["model_id"] for row in new_rows["logged_models"]}
    partial = {path for path in differing if {*Path(path).parts} & (runs | models)}
    if others := differing - partial:
        raise UserError(
            "The server has other files under the same path, so nothing was copied:"
            + "".join(f"\n  {path}" for path in sorted(others))
        )
    server.connection.commit()  # no transaction stays open while files are uploaded
    new_files = {path: ours.files[path] for path in absent | partial}
    artifacts.upload_files(new_files, repository)
    server.write(new_rows)
    lacking = server.missing(rows)
    server.connection.commit()
    absent, differing = artifacts.compare_files(ours.files, repository)
    return {
        "tables": [
            {"name": name, "here": len(of_table), "there": len(of_table) - len(lacking[name])}
            for name, of_table in rows.items()
        ],
        "files": len(ours.files),
        "copied": {"rows": sum(map(len, new_rows.values())), "files": len(new_files)},
        "differing": sorted(absent | differing),
        "equal": not (absent or differing or any(lacking.values())),
    }


def format_result(result: dict[str, Any], to: str) -> str:
    """Put what `migrate` returned into words."""
    copied = result["copied"]
    lines = [f"DIFFERENT: {path}" for path in result["differing"]]
    state = "equal" if result["equal"] else "DIFFERENT"
    lines.append(
        f"{copied['rows']:,} rows and {copied['files']:,} files were copied to {redact(to)}: "
        f"both are {state} now."
    )
    return "\n".join(lines)
