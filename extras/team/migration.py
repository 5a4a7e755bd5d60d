"""A laptop's history moved to a server: read, compared, brought, and compared again."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from extras.team import artifacts, checks
from extras.team.artifacts import Place
from extras.team.server_options import FILE, Server
from extras.team.store_history import SERVED, Database, Row
from sentiment.errors import UserError, first_line, redacted
from workflow import files
from workflow.runs import lifecycle, store


class History(NamedTuple):
    """What is to be moved: the experiment's row, all rows by table, and files by their paths."""

    experiment: Row
    rows: dict[str, list[Row]]
    files: dict[str, Path]


def migrate(settings: Server, to: str) -> dict[str, Any]:
    """Move everything that the server does not have yet.

    Returns:
        `tables` of the database, each as `Database.compare` has it; the number of `files` here;
        the numbers of rows and files that were `brought`; the paths of files that are `differing`
        in the end; and whether all is `equal`.

    Raises:
        UserError: something cannot be reached, a training is running, or the server has other
            content under the same name; nothing was moved then.
    """
    if not checks.require_schema(settings, "runs"):
        raise UserError(f"{settings.runs} is empty: start the server once, `make server`.")
    checks.require_place(settings)
    ours = read_history()
    engine = create_engine(settings.runs, poolclass=NullPool)
    try:
        require_counterpart(engine, to)
        place = artifacts.Bucket(settings) if settings.bucket else artifacts.Folder(settings)
        return move(ours, engine, place)
    except (SQLAlchemyError, BotoCoreError, ClientError, Boto3Error) as error:
        raise UserError(
            f"The migration was cut off: {first_line(error)}\nNothing is lost: run it again."
        ) from error


def read_history() -> History:
    """Read this folder's store; UserError if there is none, or a run in it is still running."""
    path = files.root() / store.DATABASE
    if not path.is_file():
        raise UserError(f"{path} is missing: this folder has no history to move.")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # what is moved is the store in this folder
    lifecycle.end_abandoned_runs()
    with embedded().connect() as connection:
        database = Database(connection)
        experiment = database.experiment()
        assert experiment  # `end_abandoned_runs` made it if there was none
        rows = database.read(experiment)
    active = (run for run in rows["runs"] if run["lifecycle_stage"] == "active")
    running = [run["run_uuid"] for run in active if run["status"] == "RUNNING"]
    if running:
        raise UserError(
            f"Still running: {', '.join(running)}. Let it end first. One whose machine is gone is "
            'ended by: python -c "import mlflow; mlflow.MlflowClient('
            f"'{store.SQLITE}{store.DATABASE}').set_terminated('<run id>', 'KILLED')\""
        )
    place = files.root() / experiment["artifact_location"]
    paths = (path for path in place.rglob("*") if path.is_file())
    return History(experiment, rows, {str(path.relative_to(place)): path for path in paths})


def embedded() -> Engine:
    return create_engine(f"{store.SQLITE}{files.root() / store.DATABASE}", poolclass=NullPool)


def require_counterpart(engine: Engine, to: str) -> None:
    """Raise UserError where the server at this address has not this database, or another schema."""
    import mlflow

    if not store.is_server(to):
        raise UserError(
            f"{redacted(to)} is no address of a server, such as https://mlflow.example.org"
        )
    os.environ["MLFLOW_TRACKING_URI"] = to  # for what is said of a server that does not answer
    with store.as_user_error():
        created = mlflow.MlflowClient(to).get_experiment("0").creation_time
    default = text("SELECT creation_time FROM experiments WHERE experiment_id = 0")
    schema = text("SELECT version_num FROM alembic_version")
    with embedded().connect() as here, engine.connect() as there:
        if there.execute(default).scalar() != created:
            raise UserError(
                f"The server at {redacted(to)} uses another database than the one in {FILE}: "
                "nothing was moved."
            )
        if here.execute(schema).scalar() != there.execute(schema).scalar():
            raise UserError(
                f"{store.DATABASE} and the server's database are of different MLflows. Bring both "
                "to this one's schema: "
                f"`mlflow db upgrade {store.SQLITE}{store.DATABASE}`, `make server`."
            )


def move(ours: History, engine: Engine, place: Place) -> dict[str, Any]:
    """Bring what is missing: files first, then all rows in one transaction; then compare."""
    with engine.connect() as connection:
        server = Database(connection)
        there = server.experiment() or server.make_experiment(ours.experiment)
        folder = served_folder(there)
        rows = server.renamed(ours.rows, ours.experiment, there)
        new_rows = server.missing(rows)
        sources = {f"{folder}/{path}": source for path, source in ours.files.items()}
        new_files, differing = artifacts.compare(sources, place, folder)
        if differing:
            raise UserError(
                "The server has other files under the same path, so that nothing was moved:"
                + "".join(f"\n  {path}" for path in sorted(differing))
            )
        connection.commit()  # a new experiment, whose number is in the files' paths
        with ThreadPoolExecutor(artifacts.AT_ONCE) as pool:
            list(pool.map(place.put, new_files.values(), new_files))
        server.write(new_rows)
        connection.commit()
        tables = [server.compare(name, of_table) for name, of_table in rows.items()]
    absent, differing = artifacts.compare(sources, place, folder)
    wrong = [*absent, *differing]
    return {
        "tables": tables,
        "files": len(sources),
        "brought": {"rows": sum(map(len, new_rows.values())), "files": len(new_files)},
        "differing": wrong,
        "equal": not wrong and all(is_equal(table) for table in tables),
    }


def is_equal(table: dict[str, Any]) -> bool:
    return bool(table["digest_here"] == table["digest_there"])


def served_folder(experiment: Row) -> str:
    """The experiment's folder among the server's artifacts; UserError if it is elsewhere."""
    location: str = experiment["artifact_location"]
    if not location.startswith(SERVED):
        raise UserError(
            f"The server's experiment has its artifacts in {location}, not where the server keeps "
            "its own: rename it, and try again."
        )
    return location.removeprefix(SERVED)


def summary(result: dict[str, Any], to: str) -> str:
    """What `migrate` returned, for a reader."""
    lines = [f"{'table':<24}{'here':>9}{'there':>9}  digests"]
    for table in result["tables"]:
        same = "equal" if is_equal(table) else "DIFFERENT"
        lines.append(f"{table['name']:<24}{table['here']:>9,}{table['there']:>9,}  {same}")
    lines.append(f"artifacts: {result['files']:,} files here, each compared by its SHA-256")
    lines += [f"DIFFERENT: {path}" for path in result["differing"]]
    numbers = "{rows:,} rows and {files:,} files".format_map(result["brought"])
    return "\n".join([*lines, f"{numbers} were brought to {redacted(to)}"])
