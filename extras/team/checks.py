"""What `make server` checks before it changes or starts anything; one message a problem."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from extras.team.server_options import FILE, Server
from sentiment.errors import UserError, first_line
from workflow import processes

ANSWER_SECONDS = 20
PASSWORD, SECRET_KEY = "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"
PASSWORD_LENGTH = 12  # what MLflow wants at least


def check(settings: Server) -> None:
    """Check what MLflow would not, or only once it serves; change nothing.

    Raises:
        UserError: the port is taken, a database is not MLflow's, a secret is missing, or artifacts
            have no place.
    """
    processes.check_port_is_free(settings.port, f"host or port in {FILE}", settings.host)
    require_mlflow(settings, "runs", "alembic_version")
    has_users = require_mlflow(settings, "users", "alembic_version_auth")
    require_secrets(is_first_start=not has_users)
    require_place(settings)


def require_mlflow(settings: Server, database: str, table: str) -> bool:
    """Whether a database has tables of MLflow already, or is empty.

    Raises:
        UserError: it cannot be used, or has tables, but not this one, which MLflow always makes.
    """
    import psycopg

    address = getattr(settings, database)
    shown = f"{database} in {FILE}: {address}"
    try:
        with psycopg.connect(address, connect_timeout=ANSWER_SECONDS) as connection:
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            tables = {name for (name,) in rows}
    except psycopg.Error as error:
        raise UserError(f"{shown} cannot be used: {first_line(error)}") from None
    if tables and table not in tables:
        raise UserError(f"{shown} has tables that are not MLflow's. Name an empty database.")
    return bool(tables)


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
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    address = urlsplit(settings.artifacts)
    if address.scheme != "s3":
        folder = Path(settings.artifacts)
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UserError(
                f"artifacts in {FILE}: {folder} is not a folder that this user can write to."
            )
        return
    config = Config(connect_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 2})
    try:
        endpoint = settings.s3_endpoint or None
        client = boto3.Session().client("s3", endpoint_url=endpoint, config=config)
        client.head_bucket(Bucket=address.netloc)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(
            f"artifacts in {FILE}: s3://{address.netloc} cannot be used: {first_line(error)}. "
            "Check the bucket, s3_endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
