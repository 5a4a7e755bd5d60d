"""What `make server` checks before it changes or starts anything; one message a problem."""

import os
from pathlib import Path

from extras.team import artifacts
from extras.team.server_options import FILE, Server
from sentiment.errors import UserError, first_line
from workflow import children

ANSWER_SECONDS = 5
ONCE = {"total_max_attempts": 1}
PASSWORD, SECRET_KEY = "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"
PASSWORD_LENGTH = 12  # what MLflow wants at least
# by setting, where a database says which of MLflow's migrations it had, and where MLflow has them
MIGRATIONS = {
    "runs": ("alembic_version", "store/db_migrations"),
    "users": ("alembic_version_auth", "server/auth/db/migrations"),
}


def check(settings: Server) -> None:
    """Check what MLflow would not, or only once it serves; change nothing.

    Raises:
        UserError: the port is taken, a database is not MLflow's or a newer one's, a secret is
            missing, or artifacts have no place.
    """
    children.require_free(settings.port, f"host or port in {FILE}", settings.host)
    require_schema(settings, "runs")
    require_secrets(is_first_start=not require_schema(settings, "users"))
    require_place(settings)


def require_schema(settings: Server, database: str) -> bool:
    """Whether a database has tables of MLflow already, or is empty.

    Raises:
        UserError: it cannot be used, has tables of something else, or a newer MLflow's.
    """
    import psycopg

    address = getattr(settings, database)
    shown = f"{database} in {FILE}: {address}"
    table, scripts = MIGRATIONS[database]
    try:
        with psycopg.connect(address, connect_timeout=ANSWER_SECONDS) as connection:
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            tables = {name for (name,) in rows}
            if not tables:
                return False
            if table not in tables:
                raise UserError(
                    f"{shown} has tables that are not MLflow's. Name an empty database."
                )
            versions = connection.execute(f"SELECT version_num FROM {table}").fetchall()
    except psycopg.Error as error:
        raise UserError(f"{shown} cannot be used: {first_line(error)}") from None
    for (version,) in versions:
        require_known(version, scripts, shown)
    return True


def require_known(version: str, scripts: str, database: str) -> None:
    """Raise UserError where this MLflow does not know a migration that the database had."""
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        ScriptDirectory(str(Path(mlflow.__file__).parent / scripts)).get_revision(version)
    except CommandError:
        raise UserError(
            f"{database} is of a newer MLflow than {mlflow.__version__} (its schema is {version}). "
            "Start the newer one, or restore a backup of before."
        ) from None


def require_secrets(is_first_start: bool) -> None:
    """Raise UserError where a secret is missing that the databases do not keep."""
    if not os.environ.get(SECRET_KEY):
        raise UserError(
            f"{SECRET_KEY} is not set: the key that signs the pages' forms, the same at each "
            'start. Make one: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    if is_first_start and len(os.environ.get(PASSWORD, "")) < PASSWORD_LENGTH:
        raise UserError(
            f"{PASSWORD} is not set, or shorter than {PASSWORD_LENGTH} characters: the password of "
            "the user `admin`, whom the first start makes. Later starts do not need it."
        )


def require_place(settings: Server) -> None:
    """Raise UserError where artifacts cannot be written: MLflow would serve without them."""
    from botocore.exceptions import BotoCoreError, ClientError

    if not settings.bucket:
        folder = Path(settings.artifacts)
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UserError(
                f"artifacts in {FILE}: {folder} is not a folder that this user can write to."
            )
        return
    try:
        client = artifacts.s3_client(settings, connect_timeout=ANSWER_SECONDS, retries=ONCE)
        client.head_bucket(Bucket=settings.bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(
            f"artifacts in {FILE}: s3://{settings.bucket} cannot be used: {first_line(error)}. "
            "Check the bucket, s3_endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
