"""The store is one, wherever a stage runs; one that cannot be used is one message."""

import os
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from sentiment.errors import UserError
from tests.project import free_port
from workflow.runs import store


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db"])
def test_the_store_is_what_a_bare_mlflow_ui_shows_and_moves_with_its_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment_id = store.connect()
    assert store.tracking_uri() == f"sqlite:///{root}/mlflow.db"
    assert (root / "mlflow.db").is_file()
    location = mlflow.get_experiment(experiment_id).artifact_location
    assert location == f"mlruns/{experiment_id}"
    assert store.connect() == experiment_id


def connect_in(folder: str) -> str:
    os.chdir(folder)
    return store.connect()


def test_processes_that_create_the_store_at_once_share_one_experiment(
    root: Path, forkserver: ForkServerContext
) -> None:
    with forkserver.Pool(3) as pool:
        assert len(set(pool.map(connect_in, [str(root)] * 3))) == 1


@pytest.mark.usefixtures("root_with_store")
def test_an_experiment_that_another_process_makes_meanwhile_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment_id, find = store.connect(), mlflow.MlflowClient.get_experiment_by_name
    answers = [None]  # to the first question, as if it were not there yet
    monkeypatch.setattr(
        mlflow.MlflowClient,
        "get_experiment_by_name",
        lambda client, name: answers.pop() if answers else find(client, name),
    )
    assert store.connect() == experiment_id
    assert not answers


@pytest.mark.parametrize(
    ("uri", "name"),
    [("", "mlflow.db"), ("sqlite:///mlflow.db", "mlflow.db"), ("sqlite:///runs.db", "runs.db")],
)
def test_the_store_of_a_temporary_copy_is_in_the_root(
    root_with_store: Path, monkeypatch: pytest.MonkeyPatch, uri: str, name: str
) -> None:
    root, copy = root_with_store, root_with_store / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment = mlflow.get_experiment(store.connect())
    assert (root / name).is_file()
    assert not (copy / name).exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(root / "mlruns")


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


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("address", "certificate"),
    [("http://127.0.0.1:port", ""), ("http://", ""), ("https://127.0.0.1:1", "none.pem")],
)
def test_what_is_no_address_and_a_certificate_that_is_not_there_are_one_message(
    monkeypatch: pytest.MonkeyPatch, address: str, certificate: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    if certificate:
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", certificate)
    with pytest.raises(UserError, match="does not answer"):
        store.connect()


@pytest.mark.parametrize("verified", [True, False])
def test_a_certificate_is_verified_as_mlflow_s_variables_say(
    monkeypatch: pytest.MonkeyPatch, verified: bool
) -> None:
    if not verified:
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(requests, "get", lambda _, **options: asked.update(options))
    store._check_server("https://127.0.0.1:1")
    assert asked["verify"] is verified


def test_damaged_database_is_one_message(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect()


@pytest.mark.usefixtures("root_with_store")
def test_deleted_experiment_says_how_to_restore_it() -> None:
    mlflow.MlflowClient(store.tracking_uri()).delete_experiment(store.connect())
    with pytest.raises(UserError, match="mlflow experiments restore"):
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


def test_an_attempt_that_succeeds_prints_nothing_and_one_hides_no_bug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with store.tolerating_errors("The report is not logged"):
        pass
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError), store.tolerating_errors("The report is not logged"):
        raise ZeroDivisionError
