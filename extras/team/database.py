"""The project's rows in a database of MLflow: read them, and write them to another database.

Both databases have the same tables, because both have the same version of MLflow's schema. Ids,
numbers and dates of runs, models and versions stay. The experiment's number and date are the
server's, and so is the artifact location.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    MetaData,
    Select,
    Table,
    insert,
    inspect,
    or_,
    select,
    text,
    tuple_,
)

from sentiment.errors import UserError
from workflow.store import EXPERIMENT

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by table
MAX_KEYS_SHOWN = 20  # keys in a message
BATCH_ROWS = 500  # rows that one statement looks for, or inserts
SCHEMA_TABLE = "alembic_version"  # has the version of the schema
# Each table comes after those that it refers to.
TABLES = """
    runs params metrics latest_metrics tags
    logged_models logged_model_params logged_model_tags logged_model_metrics
    datasets inputs input_tags experiment_tags
    registered_models registered_model_tags
    model_versions model_version_tags registered_model_aliases
""".split()
LOCATIONS = ("artifact_uri", "artifact_location", "storage_location")


def schema_version(connection: Connection) -> str | None:
    """Return the version of MLflow's schema that a database has. Without any it is not MLflow's."""
    if not inspect(connection).has_table(SCHEMA_TABLE):
        return None
    return str(connection.execute(text(f"SELECT version_num FROM {SCHEMA_TABLE}")).scalar())


class Database:
    """A database of MLflow."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        metadata = MetaData()
        metadata.reflect(connection, only=[*TABLES, "experiments"], resolve_fks=True)
        self.tables: dict[str, Table] = dict(metadata.tables)

    def find_experiment(self) -> Row | None:
        """Return the row of the project's experiment, or None."""
        table = self.tables["experiments"]
        return next(iter(self._rows(select(table).where(table.c.name == EXPERIMENT))), None)

    def read(self, experiment: Row) -> dict[str, list[Row]]:
        """Return all rows of the project, by table."""
        return {name: self._project_rows(name, experiment) for name in TABLES}

    def missing(self, rows: Rows) -> dict[str, list[Row]]:
        """Return the rows that this database does not have.

        Raises:
            UserError: it has other content under a primary key. The message lists the first keys.
        """
        new: dict[str, list[Row]] = {}
        clashes: list[str] = []
        for name, of_table in rows.items():
            present = self._existing(name, of_table)
            pairs = [(self._key(name, row), row) for row in of_table]
            new[name] = [row for key, row in pairs if key not in present]
            others = [key for key, row in pairs if present.get(key, row) != row]
            clashes += [f"{name}: {', '.join(map(str, key))}" for key in others]
        if clashes:
            raise UserError(
                f"The server has other content under {len(clashes):,} of the same names, so "
                "nothing was copied:"
                + "".join(f"\n  {clash}" for clash in clashes[:MAX_KEYS_SHOWN])
            )
        return new

    def write(self, rows: Rows) -> None:
        """Insert rows, within the caller's transaction."""
        for name, new in rows.items():
            for start in range(0, len(new), BATCH_ROWS):
                self.connection.execute(insert(self.tables[name]), new[start : start + BATCH_ROWS])

    def _rows(self, query: Select[Any]) -> list[Row]:
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def _project_rows(self, name: str, experiment: Row) -> list[Row]:
        """Return the rows of a table that belong to the project."""
        table = self.tables[name]
        columns = table.c
        runs = self.tables["runs"].c
        inputs = self.tables["inputs"].c
        versions = self.tables["model_versions"].c
        experiment_id = experiment["experiment_id"]
        ids = select(runs.run_uuid).where(runs.experiment_id == experiment_id)
        linked = or_(inputs.source_id.in_(ids), inputs.destination_id.in_(ids))
        if "experiment_id" in columns:
            own = columns.experiment_id == experiment_id
        elif "run_uuid" in columns:
            own = columns.run_uuid.in_(ids)
        elif name in ("inputs", "input_tags"):
            own = columns.input_uuid.in_(select(inputs.input_uuid).where(linked))
        else:
            own = columns.name.in_(select(versions.name).where(versions.run_id.in_(ids)))
        return self._rows(select(table).where(own))

    def _existing(self, name: str, rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
        """Return this database's rows that have the same primary keys, by key."""
        table = self.tables[name]
        result: dict[tuple[Any, ...], Row] = {}
        for start in range(0, len(rows), BATCH_ROWS):
            keys = [self._key(name, row) for row in rows[start : start + BATCH_ROWS]]
            query = select(table).where(tuple_(*table.primary_key).in_(keys))
            result |= {self._key(name, row): row for row in self._rows(query)}
        return result

    def _key(self, name: str, row: Row) -> tuple[Any, ...]:
        return tuple(row[column.name] for column in self.tables[name].primary_key)


def relocate(rows: Rows, here: Row, there: Row) -> dict[str, list[Row]]:
    """Return rows with the number and the artifact location of another experiment.

    Args:
        here: row of the experiment that the rows belong to.
        there: row of the other experiment.

    Raises:
        UserError: artifacts are outside the experiment's artifact location.
    """
    location = here["artifact_location"].rstrip("/")
    new_location = there["artifact_location"].rstrip("/")

    def new_value(name: str, value: Any) -> Any:
        if name == "experiment_id":
            return there["experiment_id"]
        if name not in LOCATIONS or not value:
            return value
        inside = value.removeprefix(f"{location}/")
        if inside == value:
            raise UserError(
                f"The artifacts in {value} are not below {location}, so they cannot be copied."
            )
        return f"{new_location}/{inside}"

    return {
        table: [{name: new_value(name, value) for name, value in row.items()} for row in of_table]
        for table, of_table in rows.items()
    }
