"""`server.yaml` is checked as params.yaml is, and never holds a secret."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.team import server
from extras.team.server_options import FILE, Server, load_options
from sentiment.errors import UserError
from tests.project import ROOT
from workflow import params
from workflow.ending import explain


def options(**changes: Any) -> Server:
    """The settings that are shipped, with other values."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return params.check(Server, {**document, **changes}, "server.yaml")


def refused(**changes: Any) -> str:
    """What is said of these values."""
    with pytest.raises(UserError) as raised:
        options(**changes)
    return str(explain(raised.value))


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


def test_mlflow_gets_all_settings_and_no_secret(tmp_path: Path) -> None:
    settings = options(allowed_origins=["https://ml.example"], s3_endpoint="http://s3")
    line = " ".join(server.command(settings))
    assert f"--backend-store-uri {settings.runs} --artifacts-destination s3://mlflow" in line
    assert "--cors-allowed-origins https://ml.example" in line
    variables = server.variables(settings, tmp_path / "auth.ini")
    assert variables["MLFLOW_S3_ENDPOINT_URL"] == "http://s3"
    assert variables["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
    assert variables["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] == "5"
    rights = server.auth_ini(settings)
    assert f"database_uri = {settings.users}" in rights
    assert "password" not in rights


def test_what_is_shipped_leaves_origins_and_the_endpoint_to_mlflow(tmp_path: Path) -> None:
    settings = options()
    assert settings.bucket == "mlflow"
    assert "--cors-allowed-origins" not in server.command(settings)
    assert "MLFLOW_S3_ENDPOINT_URL" not in server.variables(settings, tmp_path)
    assert options(artifacts="/srv/mlflow").bucket == ""


def test_settings_where_they_were_before_are_named_with_their_new_place(in_tmp_path: Path) -> None:
    (in_tmp_path / "server.yaml").touch()
    with pytest.raises(UserError, match=r"server\.yaml is now extras/team/server\.yaml: move"):
        load_options(FILE)
