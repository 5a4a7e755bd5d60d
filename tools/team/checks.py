"""What `make server` looks at before it changes or starts anything; one message a problem."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from sentiment.errors import UserError, first_line
from tools.team import s3
from tools.team.settings import FILE, Server

if TYPE_CHECKING:
    import psycopg

ANSWER_SECONDS = 5
ONCE = {"total_max_attempts": 1}
PASSWORD, SECRET_KEY = "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"
PASSWORD_LENGTH = 12  # what MLflow wants at least
# what libpq says, and what to do about it
ADVICE = {
    r'database "\S+" does not exist': "Make it, as PostgreSQL's administrator: "
    "createdb --owner {user} {name}",
    r"password authentication failed|no password supplied": "Put the password into ~/.pgpass "
    "({host}:{port}:{name}:{user}:<password>, mode 600) or into PGPASSWORD.",
    r'role "\S+" does not exist': "Make it, as PostgreSQL's administrator: "
    "createuser --pwprompt {user}",
    r"": "Start PostgreSQL, or correct {file}.",
}


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
    """Look at everything that the server needs, and change nothing.

    Raises:
        UserError: something is missing or cannot be used.
    """
    require_port(settings.host, settings.port)
    runs, users = databases(settings)
    require_usable(runs)
    known = require_usable(users) and has_administrator(users)
    require_secrets(environment, with_password=not known)
    if settings.bucket:
        require_bucket(settings.bucket, settings.s3_endpoint)
    else:
        require_folder(Path(settings.artifacts))


def require_port(host: str, port: int) -> None:
    """Raise UserError where the server cannot listen."""
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


def require_usable(database: Database) -> bool:
    """Whether a database has users or runs of MLflow already, or is empty.

    Raises:
        UserError: it cannot be reached, has tables of something else, or a newer MLflow's.
    """
    import psycopg

    where = f"{database.setting} in {FILE}: {database.address}"
    with connected(database) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {name for (name,) in found}
        if not tables:
            return False
        if database.table not in tables:
            raise UserError(f"{where} has tables that are not MLflow's. Name an empty database.")
        try:
            versions = connection.execute(f"SELECT version_num FROM {database.table}").fetchall()
        except psycopg.Error as error:
            said = first_line(error)
            raise UserError(f"{where}: {said}. Use the user who made its tables.") from None
    for (version,) in versions:
        require_known(database, version)
    return True


def has_administrator(users: Database) -> bool:
    """Whether the first start came so far as to make the administrator."""
    with connected(users) as connection:
        found = connection.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()
        if not (found and found[0]):
            return False
        return connection.execute("SELECT 1 FROM users WHERE is_admin").fetchone() is not None


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


def connected(database: Database) -> "psycopg.Connection[tuple[str, ...]]":
    """A connection to a database; UserError with advice if there is none."""
    import psycopg

    try:
        return psycopg.connect(database.address, connect_timeout=ANSWER_SECONDS)
    except psycopg.Error as error:
        said = first_line(error)
        parts = urlsplit(database.address)
        known = {
            "user": parts.username,
            "name": parts.path.removeprefix("/"),
            "host": parts.hostname,
            "port": parts.port or 5432,
            "file": FILE,
        }
        advice = next(advice for sign, advice in ADVICE.items() if re.search(sign, str(error)))
        raise UserError(
            f"{database.setting} in {FILE}: {database.address} cannot be used: {said}\n"
            f"{advice.format_map(known)}"
        ) from None


def require_folder(folder: Path) -> None:
    """Raise UserError where files cannot be written into a folder."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(
            f"artifacts in {FILE}: {folder} is no folder that this user can write into. Make it, "
            "or name another."
        )


def require_bucket(bucket: str, endpoint: str) -> None:
    """Raise UserError where a bucket cannot be reached, is not there, or may not be used."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3.client(endpoint, connect_timeout=ANSWER_SECONDS, retries=ONCE).head_bucket(Bucket=bucket)
    except ClientError as error:
        missing = error.response["Error"]["Code"] in ("404", "NoSuchBucket")
        what = (
            f"there is no such bucket. Make it: aws s3 mb s3://{bucket}"
            if missing
            else f"{first_line(error)}. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
        raise UserError(f"artifacts in {FILE}: s3://{bucket} cannot be used: {what}") from None
    except (BotoCoreError, ValueError) as error:
        raise UserError(
            f"artifacts in {FILE}: s3://{bucket} cannot be used: {first_line(error)}. Check "
            "s3_endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
