"""`make server` checks `server.yaml`, then what it names, before it changes anything."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.team import checks, server
from extras.team.server_options import FILE, Server
from sentiment.errors import UserError
from tests.extras.team.servers import MARK, Parts
from tests.project import ROOT, free_port
from workflow import params
from workflow.terminal import user_message

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
PASSWORDS = [MARK, "ses@me", "a:sesame", "ses/ame", "se same", "se#same", "se?same"]
ELSEWHERE = "A password or key does not belong here"


def options(**changes: Any) -> Server:
    """The settings that are shipped, with other values."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return params.validate(Server, {**document, **changes}, "server.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prot": 1}, "prot: unknown key. Did you mean port?"),
        ({"runs": "sqlite:///runs.db"}, "such as postgresql://user@host:5432/name"),
        ({"artifacts": "mlruns"}, "artifacts: 'mlruns' is not allowed"),
        ({"default_permission": "WRITE"}, "default_permission: 'WRITE' is not allowed"),
        *(({"runs": f"postgresql://mlflow:{it}@db.example/mlflow"}, ELSEWHERE) for it in PASSWORDS),
        ({"s3_endpoint": f"https://key:{MARK}@s3.example"}, ELSEWHERE),
    ],
)
def test_a_setting_that_is_not_allowed_is_one_message_without_secrets(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as raised:
        options(**changes)
    message = str(user_message(raised.value))
    assert said in message
    assert not [secret for secret in PASSWORDS if secret in message]


@pytest.fixture(scope="module")
def empty(processes: Parts) -> Parts:
    """The settings of another server, whose databases are empty."""
    base = processes.settings["runs"].rpartition("/")[0]
    for name in ("empty", "empty_auth"):
        processes.sql(f"CREATE DATABASE {name} OWNER mlflow")
    changes = {"runs": f"{base}/empty", "users": f"{base}/empty_auth", "port": free_port()}
    return processes._replace(settings={**processes.settings, **changes})


@pytest.fixture
def standing(empty: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """What the server stands on, and its administrator's environment; it stays as it is."""
    for name, value in empty.environment.items():
        monkeypatch.setenv(name, value)
    yield empty
    for name in ("empty", "empty_auth"):
        assert empty.sql(TABLES, name) == []


def check(standing: Parts, **changes: Any) -> None:
    checks.check(params.validate(Server, {**standing.settings, **changes}, "server.yaml"))


def problem(standing: Parts, **changes: Any) -> str:
    """What the checks say of these settings."""
    with pytest.raises(UserError) as raised:
        check(standing, **changes)
    assert MARK not in str(raised.value)
    return str(raised.value)


def test_artifacts_have_a_bucket_or_a_folder_and_the_port_is_free(
    standing: Parts, tmp_path: Path
) -> None:
    check(standing)
    check(standing, artifacts=str(tmp_path))
    assert "is not a folder" in problem(standing, artifacts=str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} is taken or not allowed on 127.0.0.1" in problem(standing, port=port)


def test_the_command_ends_with_the_one_message(standing: Parts, tmp_path: Path) -> None:
    standing.write(tmp_path, artifacts="s3://nobody-s")
    command = [sys.executable, "-m", "extras.team.server"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"make server: artifacts in {FILE}: s3://nobody-s cannot be used")
    assert "(404)" in done.stderr


def test_a_database_that_is_not_there_of_something_else_or_of_a_newer_mlflow(
    standing: Parts,
) -> None:
    base = standing.settings["runs"].rpartition("/")[0]
    message = problem(standing, users=f"{base}/nobody_s")
    assert message.startswith(f"users in {FILE}: {base}/nobody_s cannot be used: ")
    assert 'database "nobody_s" does not exist' in message
    standing.sql("CREATE DATABASE shop OWNER mlflow")
    standing.sql("CREATE TABLE customers (name text)", "shop")
    assert "has tables that are not MLflow's" in problem(standing, runs=f"{base}/shop")
    standing.sql("CREATE TABLE alembic_version AS SELECT '0123456789ab' version_num", "shop")
    standing.sql("ALTER TABLE alembic_version OWNER TO mlflow", "shop")
    with pytest.raises(UserError, match=r"shop cannot be brought to the schema .* '0123456789ab'"):
        server.upgrade([*server.MLFLOW, "db", "upgrade", f"{base}/shop"])
    assert standing.sql(TABLES, "shop") == [("alembic_version",), ("customers",)]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (checks.SECRET_KEY, "", f"{checks.SECRET_KEY} is not set"),
        (checks.PASSWORD, "short", f"{checks.PASSWORD} is not set, or shorter than 12 characters"),
        ("PGPASSWORD", f"{MARK}-but-another", 'authentication failed for user "mlflow"'),
        ("AWS_SECRET_ACCESS_KEY", f"{MARK}-but-another", "(403)"),
    ],
)
def test_a_secret_that_is_missing_or_wrong(
    standing: Parts, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert message in problem(standing)
