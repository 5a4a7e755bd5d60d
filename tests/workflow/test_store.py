"""There is one tracking store, wherever a stage runs; one that cannot be used is one message."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from sentiment.errors import StoreError
from tests.project import ROOT, free_port
from workflow import store


def test_store_is_the_one_that_mlflow_ui_shows_and_moves_with_its_folder(root: Path) -> None:
    experiment_id = store.connect()
    assert store.tracking_uri() == f"sqlite:///{root}/mlflow.db"
    assert (root / "mlflow.db").is_file()
    location = mlflow.get_experiment(experiment_id).artifact_location
    assert location == f"mlruns/{experiment_id}"
    assert store.connect() == experiment_id


def test_store_that_mlflow_ui_created_becomes_movable(root: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    created = client.create_experiment(store.EXPERIMENT)
    assert store.connect() == created
    assert mlflow.get_experiment(created).artifact_location == f"mlruns/{created}"


def test_temporary_copy_of_the_project_uses_the_store_in_the_root(
    root_with_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_with_store
    copy = root / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    experiment = mlflow.get_experiment(store.connect())
    assert not (copy / "mlflow.db").exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(root / "mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert store.tracking_uri() == f"sqlite:///{root}/runs.db"


CREATE = """
import os, signal, sys, threading, time
from pathlib import Path
from workflow import store
def kill_soon():
    while not any(Path().glob(".mlflow.db*")):
        time.sleep(0.001)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill_soon, daemon=True).start()
store.connect()
"""


def test_location_that_a_user_chose_is_left_alone(root: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    chosen = str(tmp_path.parent / "elsewhere")
    created = client.create_experiment(store.EXPERIMENT, chosen)
    assert store.connect() == created
    assert mlflow.get_experiment(created).artifact_location == chosen


@pytest.mark.slow
def test_store_is_usable_after_a_kill_while_it_was_created(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for seconds in ("0", "0.6"):
        command = [sys.executable, "-c", CREATE, seconds]
        done = subprocess.run(command, env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
    assert store.connect() == "1"
    assert [path.name for path in root.glob(".mlflow.db*")] == []


def test_server_that_does_not_answer_fails_within_seconds_without_a_password(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the URI too, which MLflow prints and which the run's URL would contain."""
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s%40cret@127.0.0.1:{free_port()}/")
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
        store.connect()
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert "@" not in os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"
    assert list(root.iterdir()) == []


def test_damaged_database_is_one_message_within_seconds(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"no database" * 100)
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/mlflow.db", "postgresql+psycopg://me:s%40cret@127.0.0.1:{port}/runs"]
)
def test_database_that_cannot_be_opened_fails_within_seconds_without_a_password(
    root: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot be used.*\n.*MLFLOW_TRACKING_URI") as raised:
        store.connect()
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert list(root.iterdir()) == []


def test_folder_of_a_database_is_not_created(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat a missing folder as a mistake in the path."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mistaken/mlflow.db")
    with pytest.raises(StoreError, match="unable to open database file"):
        store.connect()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UNAUTHENTICATED", "rejected the user name or password"),
        ("PERMISSION_DENIED", "does not let you do this"),
        ("INTERNAL_ERROR", "cannot be used: no answer"),
    ],
)
def test_error_of_a_server_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    from mlflow.protos import databricks_pb2

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    with pytest.raises(StoreError, match=message) as raised, store.store_errors():
        raise MlflowException("no answer", databricks_pb2.ErrorCode.Value(code))
    assert "secret" not in str(raised.value)


def test_error_of_the_database_becomes_a_store_error(root: Path) -> None:
    with (
        pytest.raises(StoreError, match="no such table"),
        store.store_errors(),
        closing(sqlite3.connect(root / "other.db")) as database,
    ):
        database.execute("SELECT * FROM lost")


def test_error_of_an_artifact_store_becomes_a_store_error() -> None:
    class NoCredentialsError(Exception):
        """An error as botocore raises it."""

    with pytest.raises(StoreError, match="Unable to locate credentials"), store.store_errors():
        raise NoCredentialsError("Unable to locate credentials")


def test_programming_error_does_not_become_a_store_error() -> None:
    with pytest.raises(ZeroDivisionError), store.store_errors():
        raise ZeroDivisionError


def test_pages_of_runs_are_on_the_server_or_in_the_local_ui(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.run_url("1", "abc") == "http://127.0.0.1:5000/#/experiments/1/runs/abc"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org/")
    table = "https://mlflow.example.org/#/experiments/1/runs?workflowType=machine_learning"
    assert store.experiment_url("1") == table
