"""`make server` checks `server.yaml`, then what it names, before it changes anything."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.team import checks, server
from extras.team.server_options import FILE, Server, load_options
from sentiment.errors import UserError
from tests.extras.team.servers import MARK, Parts
from tests.project import ROOT
from workflow import params
from workflow.ending import explain

TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
PASSWORDS = [MARK, "ses@me", "a:sesame", "ses/ame", "se same", "se#same", "se?same"]
DATABASE, KEY = "A password does not belong here, but into ~/.pgpass", "A key does not belong here"


def options(**changes: Any) -> Server:
    """The settings that are shipped, with other values."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return params.check(Server, {**document, **changes}, "server.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prot": 1}, "prot: unknown key. Did you mean port?"),
        ({"port": 0}, "port: 0 is not allowed"),
        ({"runs": "sqlite:///runs.db"}, "such as postgresql://user@host:5432/name"),
        ({"s3_endpoint": "s3.example"}, "such as https://s3.example.org"),
        ({"users": "postgresql://mlflow@127.0.0.1:5432/mlflow"}, "are the same database"),
        ({"artifacts": "mlruns"}, "artifacts: 'mlruns' is not allowed"),
        ({"default_permission": "WRITE"}, "default_permission: 'WRITE' is not allowed"),
        ({"allowed_hosts": []}, "allowed_hosts: [] is not allowed"),
        *(({"runs": f"postgresql://mlflow:{it}@db.example/mlflow"}, DATABASE) for it in PASSWORDS),
        ({"users": f"postgresql://mlflow:{MARK}@db.example/mlflow"}, DATABASE),
        ({"s3_endpoint": f"https://key:{MARK}@s3.example"}, KEY),
    ],
)
def test_a_setting_that_is_not_allowed_is_one_message_without_secrets(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as raised:
        options(**changes)
    message = str(explain(raised.value))
    assert said in message
    assert not [secret for secret in PASSWORDS if secret in message]


def test_mlflow_gets_all_settings(tmp_path: Path) -> None:
    settings = options(allowed_origins=["https://ml.example"], s3_endpoint="http://s3")
    line = " ".join(server.command(settings))
    assert f"--backend-store-uri {settings.runs} --artifacts-destination s3://mlflow" in line
    assert "--cors-allowed-origins https://ml.example" in line
    variables = server.variables(settings, tmp_path)
    assert variables["MLFLOW_S3_ENDPOINT_URL"] == "http://s3"
    assert variables["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
    assert variables["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] == "5"
    assert f"database_uri = {settings.users}" in server.auth_ini(settings)


def test_what_is_shipped_leaves_origins_and_the_endpoint_to_mlflow(tmp_path: Path) -> None:
    assert options().bucket == "mlflow"
    assert "--cors-allowed-origins" not in server.command(options())
    assert "MLFLOW_S3_ENDPOINT_URL" not in server.variables(options(), tmp_path)
    assert options(artifacts="/srv/mlflow").bucket == ""


def test_settings_where_they_were_before_are_named_with_their_new_place(in_tmp_path: Path) -> None:
    (in_tmp_path / "server.yaml").touch()
    with pytest.raises(UserError, match=r"server\.yaml is now extras/team/server\.yaml: move"):
        load_options(FILE)


@pytest.fixture(scope="module")
def empty(processes: Parts) -> Parts:
    return processes.empty("checked")


@pytest.fixture
def standing(empty: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """What the server stands on, and its administrator's environment; it stays as it is."""
    for name, value in empty.environment.items():
        monkeypatch.setenv(name, value)
    yield empty
    for name in ("checked", "checked_auth"):
        assert empty.sql(TABLES, name) == [(0,)]


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
    address = f"{standing.settings['runs'].rpartition('/')[0]}/newer_{name}"
    standing.sql(f"CREATE DATABASE newer_{name}")
    standing.sql(f"CREATE TABLE {table} AS SELECT '0123456789ab' version_num", f"newer_{name}")
    message = problem(standing, **{name: address})
    assert message.endswith(f"cannot be used: permission denied for table {table}")
    standing.sql(f"ALTER TABLE {table} OWNER TO mlflow", f"newer_{name}")
    message = problem(standing, **{name: address})
    assert f"{name} in {FILE}: {address} is of a newer MLflow than " in message
    assert "(its schema is 0123456789ab)" in message


def test_a_port_that_is_taken_or_a_folder_that_is_not_there(
    standing: Parts, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = problem(standing, port=port)
    assert message.startswith(f"Port {port} is taken or not allowed on 127.0.0.1: Address already")
    assert message.endswith(f"by host or port in {FILE}.")
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
