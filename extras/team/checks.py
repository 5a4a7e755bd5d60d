"""What `make server` checks before it changes or starts anything; one message a problem."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from extras.team import s3
from extras.team.server_options import FILE, Server
from sentiment.errors import UserError, first_line

if TYPE_CHECKING:
    import psycopg

ANSWER_SECONDS = 5
ONCE = {"total_max_attempts": 1}
PASSWORD, SECRET_KEY = "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"
PASSWORD_LENGTH = 12  # what MLflow wants at least


class Database(NamedTuple):
    """A database of the server.

    Attributes:
        setting: its name in `server.yaml`.
        address: where it is.
        scripts: the folder of the migrations that this MLflow knows.
        table: where the database says which it had.
    """

    setting: str
    address: str
    scripts: Path
    table: str


def databases(settings: Server) -> tuple[Database, Database]:
    """The database of runs and that of users."""
    import mlflow

    package = Path(mlflow.__file__).parent
    runs, users = package / "store" / "db_migrations", package / "server/auth/db/migrations"
    return (
        Database("runs", settings.runs, runs, "alembic_version"),
        Database("users", settings.users, users, "alembic_version_auth"),
    )


def check(settings: Server, environment: Mapping[str, str]) -> None:
    """Check what MLflow would not, or only once it serves; change nothing.

    Raises:
        UserError: the port is taken, a database is not MLflow's or a newer one's, a secret is
            missing, or artifacts have no place.
    """
    require_port(settings.host, settings.port)
    runs, users = databases(settings)
    require_schema(runs)
    known = require_schema(users) and has_administrator(users)
    require_secrets(environment, with_password=not known)
    require_place(settings)


def require_port(host: str, port: int) -> None:
    """Raise UserError where the server cannot listen: another one may use the databases."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"The server cannot listen on {host}, port {port}: {error.strerror or error}. "
                f"End what does, or choose another host or port in {FILE}."
            ) from None


def require_schema(database: Database) -> bool:
    """Whether a database has users or runs of MLflow already, or is empty.

    Raises:
        UserError: it cannot be used, has tables of something else, or a newer MLflow's.
    """
    where = f"{database.setting} in {FILE}: {database.address}"
    with connected(database) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {name for (name,) in rows}
        if not tables:
            return False
        if database.table not in tables:
            raise UserError(f"{where} has tables that are not MLflow's. Name an empty database.")
        versions = connection.execute(f"SELECT version_num FROM {database.table}").fetchall()
    for (version,) in versions:
        require_known(database, version)
    return True


def require_known(database: Database, version: str) -> None:
    """Raise UserError where this MLflow does not know a migration that the database had."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.version import VERSION

    try:
        ScriptDirectory(str(database.scripts)).get_revision(version)
    except CommandError:
        raise UserError(
            f"{database.setting} in {FILE}: {database.address} is of a newer MLflow than {VERSION} "
            f"(its schema is {version}). Start the newer one, or restore a backup of before."
        ) from None


def has_administrator(users: Database) -> bool:
    """Whether the first start came so far as to make the administrator."""
    with connected(users) as connection:
        row = connection.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()
        if not (row and row[0]):
            return False
        return connection.execute("SELECT 1 FROM users WHERE is_admin").fetchone() is not None


@contextmanager
def connected(database: Database) -> "Iterator[psycopg.Connection[tuple[str, ...]]]":
    """A connection to a database; what PostgreSQL refuses in the block is a UserError."""
    import psycopg

    try:
        with psycopg.connect(database.address, connect_timeout=ANSWER_SECONDS) as connection:
            yield connection
    except psycopg.Error as error:
        raise UserError(
            f"{database.setting} in {FILE}: {database.address} cannot be used: {first_line(error)}"
        ) from None


def require_secrets(environment: Mapping[str, str], with_password: bool) -> None:
    """Raise UserError where a secret is missing that is not kept in the database.

    Args:
        environment: of the command.
        with_password: whether the administrator is still to be made.
    """
    if not environment.get(SECRET_KEY):
        raise UserError(
            f"{SECRET_KEY} is not set: the key that signs the pages' forms, the same at each "
            'start. Make one: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    if with_password and len(environment.get(PASSWORD, "")) < PASSWORD_LENGTH:
        raise UserError(
            f"{PASSWORD} is not set, or shorter than {PASSWORD_LENGTH} characters: the password of "
            "the user `admin`, whom the first start makes. Later starts do not need it."
        )


def require_place(settings: Server) -> None:
    """Raise UserError where artifacts cannot be written: MLflow would serve without them."""
    from botocore.exceptions import BotoCoreError, ClientError

    folder = Path(settings.artifacts)
    if not settings.bucket:
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UserError(
                f"artifacts in {FILE}: {folder} is not a folder that this user can write to."
            )
        return
    try:
        client = s3.client(settings.s3_endpoint, connect_timeout=ANSWER_SECONDS, retries=ONCE)
        client.head_bucket(Bucket=settings.bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(
            f"artifacts in {FILE}: s3://{settings.bucket} cannot be used: {first_line(error)}. "
            "Check the bucket, s3_endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
