"""A laptop's history in MLflow's database: its rows, what they are called on a server, and the way.

Both databases have the same tables, since both are at this MLflow's schema. What a row is known by
stays: the ids of runs and models, the numbers of versions, every date. Only the experiment's number
is the server's, and with it where artifacts are.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, MetaData, Select, Table, insert, or_, select, tuple_

from sentiment.errors import UserError
from workflow.runs.store import EXPERIMENT

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by table
AT_ONCE = 500  # rows that one statement looks for, or inserts
SERVED = "mlflow-artifacts:/"  # where the artifacts are that go through the server
# in an order in which each row's parents come first
TABLES = """
    runs params metrics latest_metrics tags
    logged_models logged_model_params logged_model_tags logged_model_metrics
    datasets inputs input_tags experiment_tags
    registered_models registered_model_tags
    model_versions model_version_tags registered_model_aliases
""".split()
LOCATIONS = ("artifact_uri", "artifact_location", "storage_location")


class Database:
    """A database of MLflow, by a connection to it; the other side's rows are brought into it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        known = MetaData()
        known.reflect(connection, only=[*TABLES, "experiments"], resolve_fks=True)
        self.tables: dict[str, Table] = dict(known.tables)

    def experiment(self) -> Row | None:
        """The row of the project's experiment, or None."""
        table = self.tables["experiments"]
        return next(iter(self._rows(select(table).where(table.c.name == EXPERIMENT))), None)

    def read(self, experiment: Row) -> dict[str, list[Row]]:
        """All rows of the project."""
        return {name: self._owned(name, experiment) for name in TABLES}

    def renamed(self, rows: Rows, here: Row, there: Row) -> dict[str, list[Row]]:
        """The other side's rows, as this one calls what is in them.

        Args:
            rows: as they are on the other side.
            here: the experiment on the other side.
            there: the experiment on this one.

        Raises:
            UserError: artifacts lie elsewhere than their experiment's.
        """
        theirs = self._owned("datasets", there)
        data_sets = {(row["name"], row["digest"]): str(row["dataset_uuid"]) for row in theirs}
        ids = {
            row["dataset_uuid"]: data_sets.get((row["name"], row["digest"])) or row["dataset_uuid"]
            for row in rows["datasets"]
        }
        return {
            name: [_renamed(row, here, there, ids) for row in of_table]
            for name, of_table in rows.items()
        }

    def missing(self, rows: Rows) -> dict[str, list[Row]]:
        """Those of the rows that this side does not have.

        Raises:
            UserError: it has other content under a row's primary key; each such run, model or
                version is named.
        """
        new, clashes = dict[str, list[Row]](), dict[str, None]()
        for name, of_table in rows.items():
            present = self._existing(name, of_table)
            pairs = [(self._key(name, row), row) for row in of_table]
            new[name] = [row for key, row in pairs if key not in present]
            others = [row for key, row in pairs if present.get(key, row) != row]
            clashes |= dict.fromkeys(described(name, row) for row in others)
        if clashes:
            raise UserError(
                "The server has other content under the same name, so that nothing was moved:"
                + "".join(f"\n  {clash}" for clash in clashes)
            )
        return new

    def write(self, rows: Rows) -> None:
        """Insert rows, within the caller's transaction."""
        for name, new in rows.items():
            for start in range(0, len(new), AT_ONCE):
                self.connection.execute(insert(self.tables[name]), new[start : start + AT_ONCE])

    def make_experiment(self, row: Row) -> Row:
        """Make the project's experiment, with the dates that it has on the other side."""
        table = self.tables["experiments"]
        values = {name: value for name, value in row.items() if name != "experiment_id"}
        new = insert(table).values(values).returning(table.c.experiment_id)
        number = self.connection.execute(new).scalar_one()
        place = {"artifact_location": f"{SERVED}{number}"}
        at = table.c.experiment_id == number
        self.connection.execute(table.update().where(at).values(place))
        return {**row, "experiment_id": number, **place}

    def compare(self, name: str, rows: Sequence[Row]) -> dict[str, Any]:
        """Rows of the other side, and this side's under the same keys: numbers and digests."""
        own = list(self._existing(name, rows).values())
        digests = {"digest_here": digest(rows), "digest_there": digest(own)}
        return {"name": name, "here": len(rows), "there": len(own), **digests}

    def _rows(self, query: Select[Any]) -> list[Row]:
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def _owned(self, name: str, experiment: Row) -> list[Row]:
        """A table's rows that are the project's."""
        table, number = self.tables[name], experiment["experiment_id"]
        columns, runs = table.c, self.tables["runs"].c
        inputs, versions = self.tables["inputs"].c, self.tables["model_versions"].c
        ids = select(runs.run_uuid).where(runs.experiment_id == number)
        linked = or_(inputs.source_id.in_(ids), inputs.destination_id.in_(ids))
        if "experiment_id" in columns:
            own = columns.experiment_id == number
        elif "run_uuid" in columns:
            own = columns.run_uuid.in_(ids)
        elif name in ("inputs", "input_tags"):
            own = columns.input_uuid.in_(select(inputs.input_uuid).where(linked))
        else:
            own = columns.name.in_(select(versions.name).where(versions.run_id.in_(ids)))
        return self._rows(select(table).where(own))

    def _existing(self, name: str, rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
        """This side's rows under the same primary keys, by these."""
        table, result = self.tables[name], dict[tuple[Any, ...], Row]()
        for start in range(0, len(rows), AT_ONCE):
            keys = [self._key(name, row) for row in rows[start : start + AT_ONCE]]
            query = select(table).where(tuple_(*table.primary_key).in_(keys))
            result |= {self._key(name, row): row for row in self._rows(query)}
        return result

    def _key(self, name: str, row: Row) -> tuple[Any, ...]:
        return tuple(row[column.name] for column in self.tables[name].primary_key)


def _renamed(row: Row, here: Row, there: Row, ids: Mapping[str, str]) -> Row:
    new = dict(row)
    if "experiment_id" in row:
        new["experiment_id"] = there["experiment_id"]
    for column in LOCATIONS:
        if row.get(column):
            new[column] = _relocated(row[column], here, there)
    for column in ("dataset_uuid", "source_id"):
        if column in row:
            new[column] = ids.get(row[column], row[column])
    return new


def _relocated(location: str, here: Row, there: Row) -> str:
    own = here["artifact_location"]
    inside = location.removeprefix(f"{own.rstrip('/')}/")
    if inside == location:
        raise UserError(
            f"The artifacts in {location} are not below {own}, where the experiment "
            f"{EXPERIMENT} has its own: they cannot be brought along."
        )
    return f"{there['artifact_location'].rstrip('/')}/{inside}"


def described(name: str, row: Row) -> str:
    """What a row belongs to, for a message."""
    if "version" in row:
        return f"version {row['version']} of {row['name']}"
    for column, what in (("run_uuid", "run"), ("run_id", "run"), ("model_id", "model")):
        if column in row:
            return f"{what} {row[column]}, in {name}"
    return f"{name}: {', '.join(str(value)[:40] for value in row.values())}"


def digest(rows: Sequence[Row]) -> str:
    """One SHA-256 of rows in any order."""
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
