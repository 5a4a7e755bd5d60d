"""The store is one, wherever a stage runs; one that cannot be used is one message."""

import os
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from sentiment.errors import UserError
from tests.project import free_port
from workflow.runs import store


def test_the_store_is_what_a_bare_mlflow_ui_shows_and_moves_with_its_folder(root: Path) -> None:
    experiment_id = store.connect()
    assert store.tracking_uri() == f"sqlite:///{root}/mlflow.db"
    assert (root / "mlflow.db").is_file()
    location = mlflow.get_experiment(experiment_id).artifact_location
    assert location == f"mlruns/{experiment_id}"
    assert store.connect() == experiment_id


def test_the_store_of_a_temporary_copy_is_in_the_root(
    root_with_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, copy = root_with_store, root_with_store / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    experiment = mlflow.get_experiment(store.connect())
    assert not (copy / "mlflow.db").exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(root / "mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert store.tracking_uri() == f"sqlite:///{root}/runs.db"


def test_a_server_that_does_not_answer_fails_within_seconds_and_no_password_is_shown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow prints the address, and the run's page would have name and password."""
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s%40cret@127.0.0.1:{free_port()}/")
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
        store.connect()
    assert time.monotonic() - begun < 10
    assert "cret" not in str(raised.value)
    assert "@" not in os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"
    assert list(root.iterdir()) == []


def test_damaged_database_is_one_message(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect()


@pytest.mark.parametrize(
    "error", [UserError("no answer\nStart it."), OSError("no answer"), MlflowException("no answer")]
)
def test_an_attempt_survives_a_store_that_fails(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.tolerating_errors("The report is not logged"):
        raise error
    printed = capsys.readouterr().err
    assert printed.startswith("The report is not logged: ")
    assert "no answer" in printed
    assert printed.count("\n") == 1
