"""Two people share data by a DVC remote, and runs by an MLflow server that knows their rights."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

from sentiment.project.files.documents import read_json
from tests.small_project import MODEL, ProjectCopy, default_signals, free_port, wait_for

pytestmark = pytest.mark.slow
ADMIN = ("admin", "a password for admin")
USERS = {"alice": "a password for alice", "bob": "a password for bob"}
CONFIG = f"""\
[mlflow]
default_permission = EDIT
auth_cache_ttl_seconds = 60
database_uri = sqlite:///users.db
admin_username = {ADMIN[0]}
admin_password = {ADMIN[1]}
"""


def variables(address: str, name: str, password: str) -> dict[str, str]:
    """Return the variables that name the server and a user."""
    return {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password,
    }


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start MLflow's server with two users, and yield its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    (tmp_path / "auth.ini").write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", "artifacts"]
    environment = {
        **ProjectCopy(tmp_path).environment,
        "MLFLOW_AUTH_CONFIG_PATH": "auth.ini",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=default_signals,
        )
    try:
        wait_for(f"{address}/health")
        for name, value in variables(address, *ADMIN).items():
            monkeypatch.setenv(name, value)
        users = get_app_client("basic-auth", address)
        for name, password in USERS.items():
            users.create_user(name, password)
        yield address
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # kill it first, because it would replace its children
        process.wait()
        for child in children:
            child.kill()


def share(project: ProjectCopy, hub: Path, remote: Path) -> None:
    """Share a training by git and DVC, as docs/team.md shows."""
    project.run("git", "init", "--quiet", "--bare", str(hub))
    project.run("git", "remote", "add", "origin", str(hub))
    project.run("dvc", "remote", "add", "--default", "shared", str(remote))
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit()
    project.run("dvc", "push")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")


def test_a_second_user_pulls_the_data_and_logs_to_the_server(
    finished_once: ProjectCopy, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = finished_once.copy(tmp_path / "alice")
    share(alice, tmp_path / "hub", tmp_path / "dvc")
    alice.run("git", "clone", "--quiet", str(tmp_path / "hub"), str(tmp_path / "bob"))
    bob = ProjectCopy(tmp_path / "bob")
    of_bob = variables(server, "bob", USERS["bob"])
    bob.environment |= of_bob
    bob.run("dvc", "pull")
    assert "Test Accuracy: 0." in bob.run("python", "-m", "sentiment", "log")
    predicted = bob.run("python", "-m", "sentiment", "predict", "An excellent, moving film.")
    assert "tive, probability " in predicted
    assert not re.search("oneDNN|cuda|tensorflow", predicted)
    assert bob.contents("data") == alice.contents("data")
    assert not (bob.path / "mlruns").exists()

    for name, value in of_bob.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    assert experiment.artifact_location == f"mlflow-artifacts:/{experiment.experiment_id}"
    (logged,) = client.search_runs([experiment.experiment_id])
    original = read_json(alice.path / "data" / "run.json")["run_id"]
    assert logged.data.tags["original_run"] == original
    assert "predictions.csv" in {each.path for each in client.list_artifacts(logged.info.run_id)}

    # With `EDIT`, another user logs to bob's experiment, but cannot delete his run.
    for name, value in variables(server, "alice", USERS["alice"]).items():
        monkeypatch.setenv(name, value)
    client.set_tag(logged.info.run_id, "seen by", "alice")
    with pytest.raises(MlflowException, match="Permission denied"):
        client.delete_run(logged.info.run_id)
