"""The team's server as `make server` starts it: PostgreSQL with passwords, S3, and users."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests
from ruamel.yaml import YAML

from extras.team.checks import PASSWORD, SECRET_KEY
from extras.team.server_options import FILE
from tests.extras.documented import documented
from tests.object_store import BINARIES, ObjectStore, client, swift
from tests.project import ROOT, free_port, wait_for
from tests.services import Database, postgres, started

# every secret has this in it, so that a test can look for it
MARK = "sesame"
DATABASE_PASSWORD, ADMIN_PASSWORD = f"{MARK}-of-the-database", f"{MARK}-of-the-admin"
USERS = ("alice", "bob", "reader")


def password(user: str) -> str:
    return ADMIN_PASSWORD if user == "admin" else f"{MARK}-of-{user}"


class Parts(NamedTuple):
    """What a server stands on: a database server, an object store, its settings and secrets."""

    database: Database
    store: ObjectStore
    settings: dict[str, Any]
    environment: dict[str, str]

    def write(self, folder: Path, **changes: Any) -> None:
        """Write the settings where a command in this folder reads them, with other values."""
        (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
        YAML().dump({**self.settings, **changes}, folder / FILE)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of a statement in one of the databases."""
        import psycopg

        base = self.database.address.rpartition("/")[0]
        address, secret = f"{base}/{database}", DATABASE_PASSWORD
        with psycopg.connect(address, password=secret, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def objects(self) -> dict[str, bytes]:
        """The files in the bucket, by their keys."""
        s3, bucket = client(self.store.environment), urlsplit(self.settings["artifacts"]).netloc
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def run_documented(
    heading: str, environment: Mapping[str, str], instead: Mapping[str, str], typed: str = ""
) -> None:
    """Run the commands that docs/team.md has after a heading, but `make`, as they are written.

    `instead` says what stands here in place of what is there, `typed` is what the user types.
    """
    path = f"{BINARIES}:{os.environ['PATH']}"
    for line in documented(heading):
        for there, here in instead.items():
            line = line.replace(there, here)
        if not line.startswith("make "):
            subprocess.run(
                ["bash", "-c", line],
                env={**os.environ, **environment, "PATH": path},
                input=typed,
                text=True,
                check=True,
                capture_output=True,
                start_new_session=True,  # without a terminal, passwords are read from the input
            )


@contextmanager
def parts() -> Iterator[Parts]:
    """Two empty databases and an empty bucket, made as docs/team.md says, and their settings."""
    pytest.importorskip("boto3", reason="`make .venv/team` installs it")
    with postgres(DATABASE_PASSWORD) as database, swift() as store:
        port = str(urlsplit(database.address).port)
        base = f"postgresql://mlflow@127.0.0.1:{port}"
        where = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "test"}
        administrator = {**where, "PGPASSWORD": DATABASE_PASSWORD, **store.environment}
        run_documented("## The server", administrator, {}, f"{DATABASE_PASSWORD}\n" * 2)
        settings = {
            **YAML(typ="safe", pure=True).load(ROOT / FILE),
            "runs": f"{base}/mlflow",
            "users": f"{base}/mlflow_auth",
            "artifacts": "s3://mlflow",
            "s3_endpoint": store.endpoint,
            "port": free_port(),
            "allowed_hosts": ["127.0.0.1:*"],
            "default_permission": "READ",
            "workers": 1,
        }
        secrets = {
            "PGPASSWORD": DATABASE_PASSWORD,
            SECRET_KEY: f"{MARK}-of-the-pages",
            PASSWORD: ADMIN_PASSWORD,
        }
        yield Parts(database, store, settings, {**store.environment, **secrets})


class Team(NamedTuple):
    """A team's server; its settings are in the folder, and the last of the processes serves."""

    parts: Parts
    folder: Path
    processes: "list[subprocess.Popen[bytes]]"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.parts.settings['port']}"

    def user(self, name: str) -> dict[str, str]:
        """The variables by which a user's machine reaches the server."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password(name),
        }

    def ask(self, method: str, path: str, **body: str) -> Any:
        """Ask MLflow's interface for users, as the administrator."""
        secret = ("admin", ADMIN_PASSWORD)
        url = f"{self.address}/api/{path}"
        answer = requests.request(method, url, json=body, auth=secret, timeout=300)
        answer.raise_for_status()
        return answer.json()

    def stop(self) -> None:
        self.processes[-1].terminate()
        self.processes[-1].wait(timeout=300)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = (sys.executable, "-m", "extras.team.server")
        environment = {**self.parts.environment, "PYTHONPATH": str(ROOT)}
        self.processes.append(started(self.folder, *command, **environment))
        wait_for(f"{self.address}/health")


@contextmanager
def serving(standing: Parts, folder: Path, **changes: Any) -> Iterator[Team]:
    """A server on these parts, whose users may read all and change what is theirs."""
    standing.write(folder, **changes)
    server = Team(standing, folder, [])
    server.start()
    try:
        for name in USERS:
            secret = password(name)
            server.ask("POST", "2.0/mlflow/users/create", username=name, password=secret)
        yield server
    finally:
        server.stop()


@contextmanager
def team(folder: Path, **changes: Any) -> Iterator[Team]:
    """A server and all that it stands on."""
    with parts() as standing, serving(standing, folder, **changes) as server:
        yield server
