"""A laptop's history moved to a server: read, compared, brought, and compared again."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Connection, Engine, NullPool, create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from extras.team import artifacts, checks, store_history
from extras.team.artifacts import Place
from extras.team.server_options import Server
from extras.team.store_history import Experiment, Row
from sentiment.errors import UserError, first_line, redacted
from workflow import files
from workflow.runs import lifecycle, store

LOCK = 7_136_620_518_302  # of PostgreSQL: one migration at a time
ANSWER_SECONDS = 10.0
SERVED = "mlflow-artifacts:/"  # where the artifacts are that go through the server
NOWHERE = Experiment(-1, f"{SERVED}-1")
CHANGING = ("runs", "datasets", "registered_models", "model_versions", "registered_model_aliases")


class Compared(NamedTuple):
    """A table on both sides: its rows, and a digest of each side's."""

    name: str
    here: int
    there: int
    digest_here: str
    digest_there: str


class Result(NamedTuple):
    """What was moved, and how both sides compare.

    Attributes:
        tables: of the database.
        files: artifacts here.
        brought: rows and files that were new.
        differing: paths of files that differ in the end.
    """

    tables: list[Compared]
    files: int
    brought: tuple[int, int]
    differing: list[str]

    @property
    def equal(self) -> bool:
        """Whether the server has all as it is here."""
        same = all(table.digest_here == table.digest_there for table in self.tables)
        return same and not self.differing


class History(NamedTuple):
    """What is to be moved: rows by table, the experiment's own row, and files by their paths."""

    experiment: Experiment
    row: Row
    rows: dict[str, list[Row]]
    files: dict[str, Path]


def migrate(settings: Server, to: str) -> Result:
    """Move everything that the server does not have yet.

    Args:
        settings: of the server.
        to: its address.

    Raises:
        UserError: something cannot be reached, a training is running, or the server has other
            content under the same name; nothing was moved then.
    """
    runs, _ = checks.databases(settings)
    if not checks.require_schema(runs):
        raise UserError(f"{settings.runs} is empty: start the server once, `make server`.")
    checks.require_place(settings)
    ours = read_history()
    engine = create_engine(settings.runs, poolclass=NullPool)
    try:
        require_same_schema(engine)
        require_server_of(engine, to)
        return move(ours, engine, artifacts.place_of(settings))
    except (SQLAlchemyError, BotoCoreError, ClientError, Boto3Error) as error:
        raise UserError(
            f"The migration was cut off: {first_line(error)}\nNothing is lost: run it again."
        ) from error


def read_history() -> History:
    """Read this folder's store; UserError if there is none, or a run in it is still running."""
    database = files.root() / store.DATABASE
    if not database.is_file():
        raise UserError(f"{database} is missing: this folder has no history to move.")
    lifecycle.end_abandoned_runs()
    with embedded().connect() as connection:
        known = store_history.tables(connection)
        experiment = store_history.find_experiment(connection, known)
        if experiment is None:
            raise UserError(f"{store.DATABASE} has no experiment {store.EXPERIMENT}.")
        rows = store_history.read(connection, known, experiment)
        table = known["experiments"]
        own = select(table).where(table.c.experiment_id == experiment.number)
        row = dict(connection.execute(own).mappings().one())
    require_ended(rows["runs"])
    return History(experiment, row, rows, artifacts.listed(files.root() / experiment.location))


def require_ended(runs: Sequence[Row]) -> None:
    """Raise UserError where a run that was not deleted is running, here or on another machine."""
    active = (run for run in runs if run["lifecycle_stage"] == "active")
    running = [run["run_uuid"] for run in active if run["status"] == "RUNNING"]
    if running:
        raise UserError(
            f"Still running: {', '.join(running)}. Let it end first. One whose machine is gone is "
            'ended by: python -c "import mlflow; mlflow.MlflowClient('
            f"'{store.SQLITE}{store.DATABASE}').set_terminated('<run id>', 'KILLED')\""
        )


def embedded() -> Engine:
    """The database in this folder."""
    return create_engine(f"{store.SQLITE}{files.root() / store.DATABASE}", poolclass=NullPool)


def require_same_schema(engine: Engine) -> None:
    """Raise UserError where the two databases are not at the same schema."""
    query = text("SELECT version_num FROM alembic_version")
    with embedded().connect() as here, engine.connect() as there:
        ours, theirs = (set(connection.execute(query).scalars()) for connection in (here, there))
    if ours != theirs:
        raise UserError(
            f"{store.DATABASE} and the server's database are of different MLflows. Bring both to "
            f"this one's schema: `mlflow db upgrade {store.SQLITE}{store.DATABASE}`, `make server`."
        )


def require_server_of(engine: Engine, to: str) -> None:
    """Raise UserError where the server at this address is not the one with this database."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds

    address = f"{to.rstrip('/')}/api/2.0/mlflow/experiments/get"
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{n}", "") for n in ("USERNAME", "PASSWORD"))
    try:
        verify = get_default_host_creds(to).verify  # type: ignore[no-untyped-call]
        answer = requests.get(
            address,
            {"experiment_id": "0"},
            auth=(user, password),
            timeout=ANSWER_SECONDS,
            verify=verify,
        )
        answer.raise_for_status()
        created = str(answer.json()["experiment"]["creation_time"])
    except (OSError, ValueError, KeyError, MlflowException) as error:
        raise UserError(
            f"The MLflow server at {redacted(to)} cannot be used: {redacted(str(error))}. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to the administrator's."
        ) from None
    query = text("SELECT creation_time FROM experiments WHERE experiment_id = 0")
    with engine.connect() as connection:
        if str(connection.execute(query).scalar()) != created:
            raise UserError(
                f"The server at {redacted(to)} uses another database than the one in "
                "server.yaml: nothing was moved."
            )


def move(ours: History, engine: Engine, place: Place) -> Result:
    """Bring what is missing: files first, then all rows in one transaction; then compare."""
    with locked(engine) as connection:
        known = store_history.tables(connection)
        present = store_history.find_experiment(connection, known)
        # before anything is written; where there is no experiment yet, any number will do
        moved = moved_rows(connection, known, ours, present or NOWHERE)
        store_history.missing(connection, known, moved)
        there = present or store_history.make_experiment(connection, known, ours.row)
        connection.commit()
        folder = require_served(there).location.removeprefix(SERVED)
        wanted = {f"{folder}/{path}": source for path, source in ours.files.items()}
        new_files = artifacts.missing(wanted, place, folder)
        artifacts.put(new_files, place)
        tables, new_rows = write_rows(connection, known, ours, there)
    differing = artifacts.differences(wanted, place, place.sizes(folder))
    return Result(tables, len(wanted), (new_rows, len(new_files)), differing)


def write_rows(
    connection: Connection, known: Mapping[str, Any], ours: History, there: Experiment
) -> tuple[list[Compared], int]:
    """Bring all rows in one transaction, in which nobody else makes or changes any.

    Returns:
        All tables, compared afterwards, and the number of rows that were new.
    """
    connection.execute(text(f"LOCK TABLE {', '.join(CHANGING)} IN SHARE ROW EXCLUSIVE MODE"))
    rows = moved_rows(connection, known, ours, there)  # others may have made data sets meanwhile
    new = store_history.missing(connection, known, rows)
    store_history.write(connection, known, new)
    connection.commit()
    tables = [Compared(*counted) for counted in store_history.digests(connection, known, rows)]
    return tables, sum(len(rows) for rows in new.values())


@contextmanager
def locked(engine: Engine) -> Iterator[Connection]:
    """A connection to the server's database, which no other migration has meanwhile."""
    with engine.connect() as connection:
        free = connection.execute(text(f"SELECT pg_try_advisory_lock({LOCK})")).scalar()
        if not free:
            raise UserError("Another migration to this server is running: let it end first.")
        yield connection


def require_served(experiment: Experiment) -> Experiment:
    """The experiment, if its artifacts are where the server keeps its own; else UserError."""
    if not experiment.location.startswith(SERVED):
        raise UserError(
            f"The server's experiment has its artifacts in {experiment.location}, not where the "
            "server keeps its own: rename it, and try again."
        )
    return experiment


def moved_rows(
    connection: Connection, known: Mapping[str, Any], ours: History, there: Experiment
) -> dict[str, list[Row]]:
    """All rows as the server calls what is in them."""
    theirs = connection.execute(store_history.owned(known, "datasets", there)).mappings()
    data = store_history.same_data(ours.rows["datasets"], [dict(row) for row in theirs])
    return store_history.renamed(ours.rows, ours.experiment, there, data)


def document(result: Result) -> dict[str, Any]:
    """The result as JSON takes it."""
    tables = [table._asdict() for table in result.tables]
    rows, moved = result.brought
    return {
        **result._asdict(),
        "tables": tables,
        "brought": {"rows": rows, "files": moved},
        "equal": result.equal,
    }


def summary(result: Result, to: str) -> str:
    """The result for a reader."""
    rows, moved = result.brought
    lines = [f"{'table':<24}{'here':>9}{'there':>9}  digests"]
    for table in result.tables:
        same = "equal" if table.digest_here == table.digest_there else "DIFFERENT"
        lines.append(f"{table.name:<24}{table.here:>9,}{table.there:>9,}  {same}")
    lines.append(f"artifacts: {result.files:,} files here, each compared by its SHA-256")
    lines += [f"DIFFERENT: {path}" for path in result.differing]
    lines.append(f"{rows:,} rows and {moved:,} files were brought to {redacted(to)}")
    return "\n".join(lines)
