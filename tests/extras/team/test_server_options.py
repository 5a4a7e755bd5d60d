"""`server.yaml` is checked as params.yaml is, and never holds a secret."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.team import server
from extras.team.server_options import FILE, Server
from sentiment.errors import UserError
from tests.project import ROOT
from workflow import params
from workflow.ending import explain


def changed(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return {**document, **changes}


def refused(**changes: Any) -> str:
    """What is said of these values."""
    with pytest.raises(UserError) as raised:
        params.check(Server, changed(**changes), "server.yaml")
    return str(explain(raised.value))


def test_the_shipped_file_is_allowed() -> None:
    found = params.load(Server, ROOT / FILE)
    assert found.bucket == "mlflow"


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
    ],
)
def test_what_is_not_allowed_is_one_message(changes: dict[str, Any], said: str) -> None:
    assert said in refused(**changes)


@pytest.mark.parametrize("name", ["runs", "users"])
@pytest.mark.parametrize(
    "secret", ["sesame", "ses@me", "a:sesame", "ses/ame", "se same", "se#same", "se?same"]
)
def test_a_password_is_refused_and_not_shown(name: str, secret: str) -> None:
    said = refused(**{name: f"postgresql://mlflow:{secret}@db.example/mlflow"})
    assert f"{name}: " in said
    assert "A password does not belong here, but into ~/.pgpass or PGPASSWORD" in said
    assert secret not in said


def test_a_key_in_an_endpoint_is_refused_and_not_shown() -> None:
    said = refused(s3_endpoint="https://key:sesame@s3.example")
    assert "A key does not belong here" in said
    assert "sesame" not in said


def test_a_folder_needs_no_bucket() -> None:
    found = params.check(Server, changed(artifacts="/srv/mlflow"), "server.yaml")
    assert found.bucket is None


def test_mlflow_gets_all_settings_and_no_secret(tmp_path: Path) -> None:
    found = params.check(
        Server, changed(allowed_origins=["https://ml.example"], s3_endpoint="http://s3"), "x"
    )
    line = " ".join(server.command(found))
    assert f"--backend-store-uri {found.runs} --artifacts-destination s3://mlflow" in line
    assert "--cors-allowed-origins https://ml.example" in line
    known = server.variables(found, tmp_path / "auth.ini")
    assert known["MLFLOW_S3_ENDPOINT_URL"] == "http://s3"
    assert known["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] == "5"
    rights = server.auth_ini(found)
    assert f"database_uri = {found.users}" in rights
    assert "password" not in rights


def test_without_other_origins_and_endpoints_mlflow_keeps_its_own(tmp_path: Path) -> None:
    found = params.load(Server, ROOT / FILE)
    assert "--cors-allowed-origins" not in server.command(found)
    assert "MLFLOW_S3_ENDPOINT_URL" not in server.variables(found, tmp_path)
