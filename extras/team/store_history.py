"""A laptop's history in MLflow's database: its rows, what they are called on a server, and the way.

Both databases have the same tables, since both are at this MLflow's schema. What a row is known by
stays: the ids of runs and models, the numbers of versions, every date. Only the experiment's number
is the server's, and with it where artifacts are.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Select, Table, insert, or_, select, tuple_

from sentiment.errors import UserError
from workflow.runs.store import EXPERIMENT

Row = dict[str, Any]
AT_ONCE = 500  # rows that one statement looks for
# in an order in which each row's parents come first
TABLES = (
    "runs",
    "params",
    "metrics",
    "latest_metrics",
    "tags",
    "logged_models",
    "logged_model_params",
    "logged_model_tags",
    "logged_model_metrics",
    "datasets",
    "inputs",
    "input_tags",
    "experiment_tags",
    "registered_models",
    "registered_model_tags",
    "model_versions",
    "model_version_tags",
    "registered_model_aliases",
)
LOCATIONS = ("artifact_uri", "artifact_location", "storage_location")


class Experiment(NamedTuple):
    """The project's experiment in a database: its number, and where its artifacts are."""

    number: int
    location: str


def tables(connection: Connection) -> dict[str, Table]:
    """The tables of `TABLES`, as the database has them."""
    known = MetaData()
    known.reflect(connection, only=[*TABLES, "experiments"], resolve_fks=True)
    return {table.name: table for table in known.sorted_tables}


def find_experiment(connection: Connection, known: Mapping[str, Table]) -> Experiment | None:
    """The project's experiment, or None."""
    table = known["experiments"]
    query = select(table.c.experiment_id, table.c.artifact_location)
    row = connection.execute(query.where(table.c.name == EXPERIMENT)).one_or_none()
    return Experiment(*row) if row else None


def read(
    connection: Connection, known: Mapping[str, Table], experiment: Experiment
) -> dict[str, list[Row]]:
    """All rows of the project, by table."""
    return {
        name: [dict(row) for row in connection.execute(owned(known, name, experiment)).mappings()]
        for name in TABLES
    }


def owned(known: Mapping[str, Table], name: str, experiment: Experiment) -> Select[Any]:
    """The query for a table's rows that are the project's."""
    table, runs = known[name], known["runs"]
    ids = select(runs.c.run_uuid).where(runs.c.experiment_id == experiment.number)
    columns = table.c
    if "experiment_id" in columns:
        return select(table).where(columns.experiment_id == experiment.number)
    if "run_uuid" in columns:
        return select(table).where(columns.run_uuid.in_(ids))
    if name == "inputs":
        return select(table).where(or_(columns.source_id.in_(ids), columns.destination_id.in_(ids)))
    if name == "input_tags":
        inputs = known["inputs"].c
        linked = or_(inputs.source_id.in_(ids), inputs.destination_id.in_(ids))
        return select(table).where(columns.input_uuid.in_(select(inputs.input_uuid).where(linked)))
    versions = known["model_versions"].c
    models = select(versions.name).where(versions.run_id.in_(ids))
    return select(table).where(columns.name.in_(models))


def renamed(
    rows: Mapping[str, Sequence[Row]], here: Experiment, there: Experiment, data: Mapping[str, str]
) -> dict[str, list[Row]]:
    """The rows as the server calls what is in them.

    Args:
        rows: as they are here.
        here: the experiment here.
        there: the experiment on the server.
        data: the server's ids of data sets by those here, as far as it has them.

    Raises:
        UserError: artifacts lie elsewhere than their experiment's.
    """
    return {
        name: [_renamed(row, here, there, data) for row in of_table]
        for name, of_table in rows.items()
    }


def _renamed(row: Row, here: Experiment, there: Experiment, data: Mapping[str, str]) -> Row:
    new = dict(row)
    if "experiment_id" in row:
        new["experiment_id"] = there.number
    for column in LOCATIONS:
        if row.get(column):
            new[column] = _relocated(row[column], here, there)
    for column in ("dataset_uuid", "source_id"):
        new |= {column: data.get(row[column], row[column])} if column in row else {}
    return new


def _relocated(location: str, here: Experiment, there: Experiment) -> str:
    inside = location.removeprefix(f"{here.location.rstrip('/')}/")
    if inside == location:
        raise UserError(
            f"The artifacts in {location} are not below {here.location}, where the experiment "
            f"{EXPERIMENT} has its own: they cannot be brought along."
        )
    return f"{there.location.rstrip('/')}/{inside}"


def same_data(rows: Sequence[Row], theirs: Sequence[Row]) -> dict[str, str]:
    """The server's ids of data sets that it has already, by those here."""
    known = {(row["name"], row["digest"]): row["dataset_uuid"] for row in theirs}
    pairs = ((row["dataset_uuid"], known.get((row["name"], row["digest"]))) for row in rows)
    return {ours: other for ours, other in pairs if other}


def missing(
    connection: Connection, known: Mapping[str, Table], rows: Mapping[str, Sequence[Row]]
) -> dict[str, list[Row]]:
    """The rows that the server does not have, by table.

    Args:
        connection: to the server's database.
        known: its tables.
        rows: as the server calls what is in them.

    Raises:
        UserError: it has other content under a row's primary key; each such run, model or version
            is named.
    """
    new, clashes = dict[str, list[Row]](), list[str]()
    for name, ours in rows.items():
        table = known[name]
        there = existing(connection, table, ours)
        new[name] = [row for row in ours if key(table, row) not in there]
        clashes += [described(name, row) for row in ours if there.get(key(table, row), row) != row]
    if clashes:
        shown = "\n".join(f"  {clash}" for clash in dict.fromkeys(clashes))
        raise UserError(
            f"The server has other content under the same name, so that nothing was moved:\n{shown}"
        )
    return new


def existing(
    connection: Connection, table: Table, rows: Sequence[Row]
) -> dict[tuple[Any, ...], Row]:
    """The database's rows under the same primary keys, by these."""
    columns, rows_by_key = list(table.primary_key), dict[tuple[Any, ...], Row]()
    for start in range(0, len(rows), AT_ONCE):
        keys = [key(table, row) for row in rows[start : start + AT_ONCE]]
        query = select(table).where(tuple_(*columns).in_(keys))
        for row in connection.execute(query).mappings():
            rows_by_key[key(table, dict(row))] = dict(row)
    return rows_by_key


def key(table: Table, row: Row) -> tuple[Any, ...]:
    """The values of a row's primary key."""
    return tuple(row[column.name] for column in table.primary_key)


def described(name: str, row: Row) -> str:
    """What a row belongs to, for a message."""
    for column, what in (("run_uuid", "run"), ("run_id", "run"), ("model_id", "model")):
        if column in row and name != "model_versions":
            return f"{what} {row[column]}, in {name}"
    if "version" in row:
        return f"version {row['version']} of {row['name']}"
    return f"{name}: {', '.join(str(value)[:40] for value in row.values())}"


def write(
    connection: Connection, known: Mapping[str, Table], rows: Mapping[str, Sequence[Row]]
) -> None:
    """Insert rows; the caller's transaction makes it one."""
    for name, new in rows.items():
        for start in range(0, len(new), AT_ONCE):
            connection.execute(insert(known[name]), new[start : start + AT_ONCE])


def make_experiment(connection: Connection, known: Mapping[str, Table], row: Row) -> Experiment:
    """Make the project's experiment on the server, with the dates that it has here."""
    table = known["experiments"]
    values = {name: value for name, value in row.items() if name != "experiment_id"}
    made = insert(table).values(values).returning(table.c.experiment_id)
    number = connection.execute(made).scalar_one()
    location = f"mlflow-artifacts:/{number}"
    at = table.c.experiment_id == number
    connection.execute(table.update().where(at).values(artifact_location=location))
    return Experiment(number, location)


def digests(
    connection: Connection, known: Mapping[str, Table], rows: Mapping[str, Sequence[Row]]
) -> Iterator[tuple[str, int, int, str, str]]:
    """For each table: its name, the rows here and there, and a digest of each side's."""
    for name, ours in rows.items():
        theirs = list(existing(connection, known[name], ours).values())
        yield name, len(ours), len(theirs), digest(ours), digest(theirs)


def digest(rows: Sequence[Row]) -> str:
    """One SHA-256 of rows in any order."""
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
