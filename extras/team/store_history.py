"""A laptop's history in MLflow's database: its rows, what they are called on a server, and the way.

Both databases have the same tables, since both are at this MLflow's schema. What a row is known by
stays: the ids, numbers and dates of runs, models and versions. The experiment's number and date are
the server's, and so is where artifacts are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, MetaData, Select, Table, insert, or_, select, tuple_

from sentiment.errors import UserError
from workflow.store import EXPERIMENT

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by table
MOST_NAMED = 20  # of what the server has otherwise
AT_ONCE = 500  # rows that one statement looks for, or inserts
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

    def missing(self, rows: Rows) -> dict[str, list[Row]]:
        """Those of the rows that this side does not have.

        Raises:
            UserError: it has other content under a primary key; the first such keys are named.
        """
        new, clashes = dict[str, list[Row]](), list[str]()
        for name, of_table in rows.items():
            present = self._existing(name, of_table)
            pairs = [(self._key(name, row), row) for row in of_table]
            new[name] = [row for key, row in pairs if key not in present]
            others = [key for key, row in pairs if present.get(key, row) != row]
            clashes += [f"{name}: {', '.join(map(str, key))}" for key in others]
        if clashes:
            raise UserError(
                f"The server has other content under {len(clashes):,} of the same names, so that "
                "nothing was moved:" + "".join(f"\n  {clash}" for clash in clashes[:MOST_NAMED])
            )
        return new

    def write(self, rows: Rows) -> None:
        """Insert rows, within the caller's transaction."""
        for name, new in rows.items():
            for start in range(0, len(new), AT_ONCE):
                self.connection.execute(insert(self.tables[name]), new[start : start + AT_ONCE])

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


def renamed(rows: Rows, here: Row, there: Row) -> dict[str, list[Row]]:
    """The rows of one side's experiment, as they are below the other side's.

    Raises:
        UserError: artifacts lie elsewhere than their experiment's.
    """
    own, other = (side["artifact_location"].rstrip("/") for side in (here, there))

    def new(name: str, value: Any) -> Any:
        if name == "experiment_id":
            return there["experiment_id"]
        if name not in LOCATIONS or not value:
            return value
        inside = value.removeprefix(f"{own}/")
        if inside == value:
            raise UserError(
                f"The artifacts in {value} are not below {own}, so they cannot be moved."
            )
        return f"{other}/{inside}"

    return {
        table: [{name: new(name, value) for name, value in row.items()} for row in of_table]
        for table, of_table in rows.items()
    }
