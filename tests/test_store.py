import multiprocessing
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from stages import store, tracking
from stages.command import UserError


@pytest.fixture
def root(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with no store yet; MLflow forgets it afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; monkeypatch sets it back
    return in_tmp_path


def status(run_id: str) -> str:
    return str(mlflow.get_run(run_id).info.status)


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


def test_store_that_fails_within_a_run_is_one_message(root: Path) -> None:
    assert root.is_dir()

    def train() -> None:
        with tracking.started("lstm-4", {}, {}) as run:
            mlflow.MlflowClient().delete_run(run.run_id)
            tracking.log_epoch(run, 1, {"loss": 0.5})

    with pytest.raises(UserError, match=r"cannot be used: .*'active' state"):
        train()


def test_server_that_does_not_answer_fails_within_seconds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
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


def test_run_that_ends_well_is_finished_with_params_and_tags(root: Path) -> None:
    assert root.is_dir()
    with tracking.started("lstm-4", {"train.units": 4}, {"dataset": "imdb"}) as run:
        assert status(run.run_id) == "RUNNING"
    ended = mlflow.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert ended.info.run_name == "lstm-4"
    assert ended.data.params == {"train.units": "4"}
    assert ended.data.tags["dataset"] == "imdb"


@pytest.mark.parametrize(
    ("error", "expected"),
    [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_run_that_ends_otherwise_says_how_and_keeps_its_epochs(
    root: Path, error: type[BaseException], expected: str
) -> None:
    assert root.is_dir()
    runs: list[tracking.Run] = []

    def train() -> None:
        with tracking.started("lstm-4", {}, {}) as run:
            runs.append(run)
            tracking.log_epoch(run, 1, {"loss": 0.5})
            raise error

    with pytest.raises(error):
        train()
    assert status(runs[0].run_id) == expected
    (point,) = mlflow.MlflowClient().get_metric_history(runs[0].run_id, "loss")
    assert (point.step, point.value) == (1, 0.5)
    model = mlflow.get_logged_model(runs[0].model_id)
    assert model.status == "FAILED"
    assert [(metric.key, metric.step) for metric in model.metrics or []] == [("loss", 1)]


def test_epochs_can_be_watched_while_the_run_goes_on(root: Path) -> None:
    with tracking.started("lstm-4", {}, {}) as run:
        tracking.log_epoch(run, 1, {"loss": 0.5})
        with closing(sqlite3.connect(root / "mlflow.db")) as database:
            rows = database.execute("SELECT key, step, value FROM metrics").fetchall()
    assert rows == [("loss", 1, 0.5)]


def test_password_in_an_address_is_not_shown() -> None:
    assert store.public("https://me:secret@host:5000/x") == "https://host:5000/x"
