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

NAME = "imdb-sentiment"  # of an experiment


def test_store_is_the_one_that_mlflow_ui_shows_and_moves_with_its_folder(in_tmp_path: Path) -> None:
    experiment_id = store.connect(NAME)
    assert store.tracking_uri() == f"sqlite:///{in_tmp_path}/mlflow.db"
    assert (in_tmp_path / "mlflow.db").is_file()
    location = mlflow.get_experiment(experiment_id).artifact_location
    assert location == f"mlruns/{experiment_id}"
    assert store.connect(NAME) == experiment_id


@pytest.mark.usefixtures("in_tmp_path")
def test_a_new_experiment_has_its_description() -> None:
    experiment = mlflow.get_experiment(store.connect(NAME, "Trainings on `imdb`."))
    assert experiment.tags["mlflow.note.content"] == "Trainings on `imdb`."


def test_store_that_mlflow_ui_created_becomes_movable(in_tmp_path: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{in_tmp_path}/mlflow.db")
    created = client.create_experiment(NAME)
    assert store.connect(NAME) == created
    assert mlflow.get_experiment(created).artifact_location == f"mlruns/{created}"


def test_temporary_copy_of_the_project_uses_the_store_in_the_root(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect(NAME)
    copy = in_tmp_path / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(in_tmp_path))
    experiment = mlflow.get_experiment(store.connect(NAME))
    assert not (copy / "mlflow.db").exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(in_tmp_path / "mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert store.tracking_uri() == f"sqlite:///{in_tmp_path}/runs.db"


CREATE = """
import os, signal, sys, threading, time
from pathlib import Path
from workflow import store
def kill_soon():
    while not any(Path().glob("mlflow.db.partial*")):
        time.sleep(0.001)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill_soon, daemon=True).start()
store.connect("imdb-sentiment")
"""


def test_location_that_a_user_chose_is_left_alone(in_tmp_path: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{in_tmp_path}/mlflow.db")
    chosen = str(tmp_path.parent / "elsewhere")
    created = client.create_experiment(NAME, chosen)
    assert store.connect(NAME) == created
    assert mlflow.get_experiment(created).artifact_location == chosen


@pytest.mark.slow
def test_store_is_usable_after_a_kill_while_it_was_created(in_tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for seconds in ("0", "0.6"):
        command = [sys.executable, "-c", CREATE, seconds]
        done = subprocess.run(command, env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
    assert store.connect(NAME) == "1"
    assert [path.name for path in in_tmp_path.glob("mlflow.db.partial*")] == []


def test_server_that_does_not_answer_fails_within_seconds_without_a_password(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the URI too, which MLflow prints and which the run's URL would contain."""
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s%40cret@127.0.0.1:{free_port()}/")
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
        store.connect(NAME)
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert "@" not in os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"
    assert list(in_tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_database_in_memory_is_refused(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match="in memory, which would be lost"):
        store.connect(NAME)
    assert list(in_tmp_path.iterdir()) == []


def test_malformed_uri_is_one_message_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@[::1")
    with pytest.raises(StoreError, match=r"=http://\[::1 is malformed \(Invalid IPv6 URL\)"):
        store.connect(NAME)


def test_damaged_database_is_one_message_within_seconds(in_tmp_path: Path) -> None:
    (in_tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect(NAME)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/mlflow.db", "postgresql+psycopg://me:s%40cret@127.0.0.1:{port}/runs"]
)
def test_database_that_cannot_be_opened_fails_within_seconds_without_a_password(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot be used.*\n.*MLFLOW_TRACKING_URI") as raised:
        store.connect(NAME)
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert list(in_tmp_path.iterdir()) == []


def test_folder_of_a_database_is_not_created(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Treat a missing folder as a mistake in the path."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mistaken/mlflow.db")
    with pytest.raises(StoreError, match="unable to open database file"):
        store.connect(NAME)
    assert list(in_tmp_path.iterdir()) == []


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


def test_error_of_the_database_becomes_a_store_error(in_tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="no such table"),
        store.store_errors(),
        closing(sqlite3.connect(in_tmp_path / "other.db")) as database,
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
    page = "#/experiments/1/runs/abc?workflowType=machine_learning"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.run_url("1", "abc") == f"http://127.0.0.1:5000/{page}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org/")
    assert store.run_url("1", "abc") == f"https://mlflow.example.org/{page}"
