"""A team's server on PostgreSQL and an S3 store, started by the commands of `PAGE`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests

from tests.extras.documented import documented
from tests.project import QUIET, ROOT, Project, free_port, wait_for
from tests.services import kill, postgres, start_process

PAGE = ROOT / "extras" / "team" / "README.md"
S3_BINARIES = ROOT / ".s3" / "bin"
# Every secret contains this, so that a test can search for it.
MARK = "sesame"
DATABASE_PASSWORD = f"{MARK}-of-the-database"
ADMIN_PASSWORD = f"{MARK}-of-the-admin"
USERS = ("alice", "bob", "reader")


def password(user: str) -> str:
    """Return the password of a user of the server."""
    return ADMIN_PASSWORD if user == "admin" else f"{MARK}-of-{user}"


def run_documented(
    heading: str, folder: Path, environment: Mapping[str, str], typed: str = ""
) -> None:
    """Run the commands that `PAGE` has after a text, as they stand.

    Args:
        typed: what the user types.
    """
    done = subprocess.run(
        ["bash", "-ec", "\n".join(documented(PAGE, heading))],
        cwd=folder,
        env=environment,
        input=typed,
        text=True,
        capture_output=True,
        check=False,
        start_new_session=True,  # without a terminal, passwords are read from the input
    )
    assert done.returncode == 0, f"{heading} {done.stderr}"


def documented_variables(heading: str) -> set[str]:
    """Return the names of the variables that `PAGE` sets after a text."""
    return set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", "\n".join(documented(PAGE, heading))))


@contextmanager
def s3_store() -> Iterator[str]:
    """Start a server that stands in for an empty S3 store; yield its URL."""
    if not S3_BINARIES.is_dir():
        pytest.skip("the stand-in for an S3 store is not installed: `make .s3/complete`")
    port = free_port()
    command = (str(S3_BINARIES / "moto_server"), "--host", "127.0.0.1", "--port", str(port))
    process = start_process(ROOT, *command)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/moto-api/")
        yield url
    finally:
        kill(process)


class Backends(NamedTuple):
    """A database server and an S3 store, with the databases and buckets of a team's server.

    Attributes:
        folder: where the commands of `PAGE` are run.
        environment: of these commands; it has the variables of the page.
        port: where the team's server listens.
    """

    folder: Path
    environment: dict[str, str]
    port: int

    def sql(self, statement: str, database: str = "mlflow") -> list[tuple[Any, ...]]:
        """Execute a statement as the database's administrator, and return its rows."""
        import psycopg

        with psycopg.connect(
            host=self.environment["PGHOST"],
            port=self.environment["PGPORT"],
            user="test",
            password=DATABASE_PASSWORD,
            dbname=database,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def s3_client(self) -> Any:
        """Return boto's client of the S3 store."""
        import boto3

        session = boto3.Session(
            self.environment["AWS_ACCESS_KEY_ID"],
            self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
        )
        return session.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    def objects(self, bucket: str = "mlflow") -> dict[str, bytes]:
        """Return the content of each object in a bucket, by key."""
        s3 = self.s3_client()
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def backends(folder: Path) -> Iterator[Backends]:
    """Start PostgreSQL and an S3 store; create databases and bucket as `PAGE` says."""
    pytest.importorskip("boto3", reason="`make .venv/team` installs it")
    with postgres(DATABASE_PASSWORD) as database, s3_store() as s3_url:
        port = free_port()
        variables = {
            "PGHOST": "127.0.0.1",
            "PGUSER": "mlflow",
            "PGPASSWORD": DATABASE_PASSWORD,
            "AWS_ENDPOINT_URL": s3_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": f"{MARK}-of-the-store",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": f"{MARK}-of-the-pages",
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_AUTH_CONFIG_PATH": "auth.ini",
        }
        assert variables.keys() == documented_variables("**Variables.**")
        ports = {"PGPORT": str(urlsplit(database.address).port), "MLFLOW_PORT": str(port)}
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{S3_BINARIES}"
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        environment = {**Project(folder).environment, **QUIET, **variables, **ports, "PATH": path}
        administrator = {**environment, "PGUSER": "test"}
        run_documented("**Databases.**", folder, administrator, f"{DATABASE_PASSWORD}\n" * 2)
        run_documented("**Bucket and users.**", folder, environment)
        yield Backends(folder, environment, port)


class Team(NamedTuple):
    """A team's server; the last of the processes serves."""

    backends: Backends
    processes: "list[subprocess.Popen[bytes]]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.backends.port}"

    def user(self, name: str) -> dict[str, str]:
        """Return the variables by which a user's machine reaches the server."""
        variables = {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password(name),
        }
        assert variables.keys() == documented_variables("## Each machine")
        return variables

    def request(self, method: str, path: str, **body: str) -> Any:
        """Send a request to MLflow's API as the administrator, and return the response."""
        response = requests.request(
            method,
            f"{self.url}/api/{path}",
            json=body,
            auth=("admin", ADMIN_PASSWORD),
            timeout=300,
        )
        response.raise_for_status()
        return response.json()

    def grant(self, user: str, permission: str, **resources: str) -> None:
        """Give a user a permission on resources, which are named by their type."""
        for kind, name in resources.items():
            self.request(
                "POST",
                "3.0/mlflow/users/permissions/grant",
                username=user,
                resource_type=kind,
                resource_id=name,
                permission=permission,
            )

    def start(self) -> None:
        """Start the server as `PAGE` says, and wait until it responds."""
        command = "\n".join(documented(PAGE, "**Start.**"))
        process = start_process(
            self.backends.folder,
            "bash",
            "-ec",
            command,
            output=str(self.backends.folder / "server.log"),
            **self.backends.environment,
        )
        self.processes.append(process)
        wait_for(f"{self.url}/health")

    def stop(self) -> None:
        kill(self.processes[-1])


@contextmanager
def serving(standing: Backends) -> Iterator[Team]:
    """Start a server on these backends, whose databases have MLflow's schema."""
    server = Team(standing, [])
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def team(folder: Path) -> Iterator[Team]:
    """Start a server with users, and everything that it stands on."""
    with backends(folder) as standing:
        run_documented("**Schema.**", standing.folder, standing.environment)
        with serving(standing) as server:
            for name in USERS:
                server.request(
                    "POST", "2.0/mlflow/users/create", username=name, password=password(name)
                )
            yield server
