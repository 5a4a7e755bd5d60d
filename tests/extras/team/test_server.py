"""`make server`: four things are checked before anything is changed, each in one message."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extras.team import checks
from extras.team.server_options import FILE, Server
from sentiment.errors import UserError
from tests.extras.team.servers import MARK, Parts, parts
from tests.project import ROOT
from workflow import params

TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"


@pytest.fixture(scope="module")
def processes() -> Iterator[Parts]:
    with parts() as started:
        yield started


@pytest.fixture
def standing(processes: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """What the server stands on, and its administrator's environment; it stays as it is."""
    for name, value in processes.environment.items():
        monkeypatch.setenv(name, value)
    yield processes
    for name in ("mlflow", "mlflow_auth"):
        assert processes.sql(TABLES, name) == [(0,)]


def check(standing: Parts, **changes: Any) -> None:
    checks.check(params.check(Server, {**standing.settings, **changes}, "server.yaml"))


def problem(standing: Parts, **changes: Any) -> str:
    """What the checks say of these settings."""
    with pytest.raises(UserError) as raised:
        check(standing, **changes)
    assert MARK not in str(raised.value)
    return str(raised.value)


def test_nothing_is_missing(standing: Parts, tmp_path: Path) -> None:
    check(standing)
    check(standing, artifacts=str(tmp_path))


def test_the_command_ends_with_the_one_message(standing: Parts, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "extras.team.server", "--settings"]
    path = str(standing.write(tmp_path, artifacts="s3://nobody-s"))
    done = subprocess.run([*command, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"make server: artifacts in {FILE}: s3://nobody-s cannot be used: An error occurred "
        "(404) when calling the HeadBucket operation: Not Found. Check the bucket, s3_endpoint, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.\n"
    )


def test_a_database_that_is_not_there_or_of_something_else(standing: Parts) -> None:
    base = standing.settings["runs"].rpartition("/")[0]
    message = problem(standing, users=f"{base}/nobody_s")
    assert message.startswith(f"users in {FILE}: {base}/nobody_s cannot be used: ")
    assert 'database "nobody_s" does not exist' in message
    standing.sql("CREATE DATABASE shop")
    standing.sql("CREATE TABLE customers (name text)", "shop")
    assert "has tables that are not MLflow's" in problem(standing, runs=f"{base}/shop")


@pytest.mark.parametrize(
    ("name", "table"), [("runs", "alembic_version"), ("users", "alembic_version_auth")]
)
def test_a_schema_that_this_mlflow_does_not_know(standing: Parts, name: str, table: str) -> None:
    standing.sql(f"CREATE DATABASE newer_{name}")
    standing.sql(f"CREATE TABLE {table} (version_num text)", f"newer_{name}")
    standing.sql(f"INSERT INTO {table} VALUES ('0123456789ab')", f"newer_{name}")
    base = standing.settings["runs"].rpartition("/")[0]
    message = problem(standing, **{name: f"{base}/newer_{name}"})
    assert message.endswith(f"cannot be used: permission denied for table {table}")
    standing.sql(f"ALTER TABLE {table} OWNER TO mlflow", f"newer_{name}")
    message = problem(standing, **{name: f"{base}/newer_{name}"})
    assert f"{name} in {FILE}: {base}/newer_{name} is of a newer MLflow than " in message
    assert "(its schema is 0123456789ab)" in message


def test_a_port_that_is_taken(standing: Parts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = problem(standing, port=port)
    assert message.startswith(f"Port {port} is taken or not allowed on 127.0.0.1: Address already")
    assert message.endswith(f"by host or port in {FILE}.")


def test_a_folder_that_is_not_there(standing: Parts, tmp_path: Path) -> None:
    assert "is not a folder" in problem(standing, artifacts=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (checks.SECRET_KEY, "", f"{checks.SECRET_KEY} is not set"),
        (checks.PASSWORD, "", f"{checks.PASSWORD} is not set"),
        (checks.PASSWORD, "short", "shorter than 12 characters"),
        ("PGPASSWORD", f"{MARK}-but-another", 'authentication failed for user "mlflow"'),
        ("AWS_SECRET_ACCESS_KEY", f"{MARK}-but-another", "(403)"),
    ],
)
def test_a_secret_that_is_missing_or_wrong(
    standing: Parts, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert message in problem(standing)
