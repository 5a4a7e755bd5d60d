import multiprocessing
import os
import socket
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from sentiment.errors import UserError
from tests.project import free_port
from workflow.runs import store


def test_store_is_what_a_bare_mlflow_ui_shows(root: Path) -> None:
    store.connect()
    assert store.tracking_uri() == f"sqlite:///{root}/mlflow.db"
    assert (root / "mlflow.db").is_file()


def test_connecting_again_finds_the_same_experiment(root: Path) -> None:
    assert root.is_dir()
    assert store.connect() == store.connect()


def test_artifact_location_is_relative_so_that_it_moves_along(root: Path) -> None:
    experiment = mlflow.get_experiment(store.connect())
    assert experiment.artifact_location == f"mlruns/{experiment.experiment_id}"
    assert root.is_dir()


def connect_in(folder: str) -> str:
    import os

    os.chdir(folder)
    return store.connect()


def test_processes_that_create_the_store_at_once_share_one_experiment(root: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(connect_in, [str(root)] * 3))) == 1


def test_an_experiment_that_another_process_makes_meanwhile_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert root.is_dir()
    made, find = store.connect(), mlflow.MlflowClient.get_experiment_by_name
    answers = [None]  # to the first question, as if it were not there yet
    monkeypatch.setattr(
        mlflow.MlflowClient,
        "get_experiment_by_name",
        lambda client, name: answers.pop() if answers else find(client, name),
    )
    assert store.connect() == made
    assert not answers


def test_root_of_a_temporary_copy_is_the_main_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = root / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    store.connect()
    assert (root / "mlflow.db").is_file()
    assert not (copy / "mlflow.db").exists()
    assert (copy / "mlruns").resolve() == root / "mlruns"


@pytest.mark.parametrize("address", ["http://127.0.0.1:port", "http://"])
def test_what_is_no_address_is_one_message(
    root: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    assert root.is_dir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UserError, match="does not answer"):
        store.connect()


def test_mlflows_relative_spelling_of_the_store_is_the_same_store(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    experiment = mlflow.get_experiment(store.connect())
    assert experiment.artifact_location == f"mlruns/{experiment.experiment_id}"
    assert (root / "mlflow.db").is_file()


@pytest.mark.parametrize("name", ["mlflow.db", "runs.db"])
def test_a_relative_store_is_in_the_root_also_for_a_temporary_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = root / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{name}")
    experiment = mlflow.get_experiment(store.connect())
    assert (root / name).is_file()
    assert not (copy / name).exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(root / "mlruns")


def test_server_that_does_not_answer_fails_within_seconds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for name in ("USERNAME", "PASSWORD"):  # these are set, and are not to be left to other tests
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
        store.connect()
    assert time.monotonic() - begun < 10
    assert "secret" not in str(raised.value)
    assert list(root.iterdir()) == []


def test_damaged_database_is_one_message(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect()


def test_deleted_experiment_says_how_to_restore_it(root: Path) -> None:
    assert root.is_dir()
    mlflow.MlflowClient(store.tracking_uri()).delete_experiment(store.connect())
    with pytest.raises(UserError, match="mlflow experiments restore"):
        store.connect()


@pytest.mark.parametrize(
    ("variables", "verified"),
    [({}, True), ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, False)],
)
def test_a_certificate_is_verified_as_mlflow_s_variables_say(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], verified: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(requests, "get", lambda _, **options: asked.update(options))
    store._check_server("https://127.0.0.1:1")
    assert asked["verify"] is verified


def test_a_certificate_that_is_not_there_is_one_message(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(root / "none.pem"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match="does not answer"):
        store.connect()


def test_name_and_password_in_the_address_go_to_mlflow_s_own_variables(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow prints the address, and the run's page would have them."""
    assert root.is_dir()
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s%40cret@127.0.0.1:{free_port()}/")
    with pytest.raises(UserError, match="does not answer") as raised:
        store.connect()
    assert "cret" not in str(raised.value)
    assert "@" not in os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"


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


def test_an_attempt_that_succeeds_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with store.tolerating_errors("The report is not logged"):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_attempt_hides_no_bug() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        store.tolerating_errors("The report is not logged"),
    ):
        raise ZeroDivisionError
