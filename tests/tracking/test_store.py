"""There is one tracking store, wherever a stage runs; one that cannot be used is one message."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from sentiment.errors import StoreError
from tests.project import ROOT, free_port
from tests.services import mlflow_server
from tracking import store

NAME = "imdb-sentiment"  # of the experiment in the fixture `empty_store`
OTHER = "other-sentiment"  # of an experiment that is not there
RUN_ID = "0123456789abcdef0123456789abcdef"


def test_store_is_the_one_that_mlflow_ui_shows_and_moves_with_its_folder(in_tmp_path: Path) -> None:
    experiment_id = store.connect(NAME)
    assert store.tracking_uri() == f"sqlite:///{in_tmp_path}/mlflow.db"
    assert (in_tmp_path / "mlflow.db").is_file()
    location = mlflow.get_experiment(experiment_id).artifact_location
    assert location == f"mlruns/{experiment_id}"
    assert store.connect(NAME) == experiment_id


@pytest.mark.slow
def test_runs_go_to_the_store_and_the_experiment(empty_store: Path) -> None:
    experiment_id = store.connect(OTHER)
    with mlflow.start_run() as run:
        assert run.info.experiment_id == experiment_id
        assert run.info.artifact_uri == f"mlruns/{experiment_id}/{run.info.run_id}/artifacts"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{empty_store}/mlflow.db")
    assert client.get_run(run.info.run_id).info.status == "FINISHED"


@pytest.mark.usefixtures("empty_store")
def test_a_new_experiment_has_its_description() -> None:
    experiment = mlflow.get_experiment(store.connect(OTHER, "Trainings on `other`."))
    assert experiment.tags["mlflow.note.content"] == "Trainings on `other`."


def shown_columns(experiment_id: str) -> object:
    """Return the columns of an experiment's shared view, to which the link to its runs leads."""
    key = store.runs_url(experiment_id).rpartition("viewStateShareKey=")[2]
    tags = mlflow.get_experiment(experiment_id).tags
    return json.loads(tags[f"mlflow.sharedViewState.{key}"])["selectedColumns"]


@pytest.mark.usefixtures("empty_store")
def test_the_link_to_the_runs_shows_the_columns_of_the_newest_code() -> None:
    experiment_id = store.connect(OTHER, columns=["metrics.`loss`"])
    assert shown_columns(experiment_id) == ["metrics.`loss`"]
    store.connect(OTHER, columns=["metrics.`accuracy`"])
    assert shown_columns(experiment_id) == ["metrics.`accuracy`"]


def test_an_experiment_that_a_person_made_is_shown_and_moves_with_its_folder(
    empty_store: Path,
) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{empty_store}/mlflow.db")
    created = client.create_experiment(OTHER, tags={"mlflow.note.content": "Mine."})
    assert Path(client.get_experiment(created).artifact_location).is_absolute()
    assert store.connect(OTHER, "Trainings.", ["metrics.`loss`"]) == created
    experiment = mlflow.get_experiment(created)
    assert experiment.artifact_location == f"mlruns/{created}"
    assert experiment.tags["mlflow.note.content"] == "Mine."
    assert shown_columns(created) == ["metrics.`loss`"]


def test_a_deleted_experiment_names_the_command_that_restores_it(empty_store: Path) -> None:
    experiment_id = store.connect(NAME)
    mlflow.MlflowClient().delete_experiment(experiment_id)
    with pytest.raises(StoreError) as raised:
        store.connect(NAME)
    assert str(raised.value) == (
        f"The experiment {NAME} was deleted in MLflow. To bring it back: "
        f"MLFLOW_TRACKING_URI=sqlite:///{empty_store}/mlflow.db mlflow experiments restore "
        f"--experiment-id {experiment_id}"
    )


def test_temporary_copy_of_the_project_uses_the_store_in_the_root(
    empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = empty_store / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(empty_store))
    experiment = mlflow.get_experiment(store.connect(NAME))
    assert not (copy / "mlflow.db").exists()
    assert (copy / experiment.artifact_location).resolve().is_relative_to(empty_store / "mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert store.tracking_uri() == f"sqlite:///{empty_store}/runs.db"


CREATE = """
import os, signal, sys, threading, time
from pathlib import Path
from tracking import store
def kill_soon():
    while not any(Path().glob("mlflow.db.partial*")):
        time.sleep(0.001)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill_soon, daemon=True).start()
store.connect("imdb-sentiment")
"""


def test_location_that_a_user_chose_is_left_alone(empty_store: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{empty_store}/mlflow.db")
    chosen = str(tmp_path.parent / "elsewhere")
    created = client.create_experiment(OTHER, chosen)
    assert store.connect(OTHER) == created
    assert mlflow.get_experiment(created).artifact_location == chosen


@pytest.fixture
def other_project(in_tmp_path: Path, empty_store_once: Path) -> Path:
    """Return the folder of another project with a store."""
    folder = in_tmp_path / "other"
    folder.mkdir()
    shutil.copy2(empty_store_once, folder)
    return folder


def check_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a store is refused, that nothing is created in it, and that it can be read."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    before = client.search_experiments(view_type=ViewType.ALL)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name in (NAME, OTHER):
        with pytest.raises(StoreError, match="one of a project's folder, which can only be looked"):
            store.connect(name)
    after = client.search_experiments(view_type=ViewType.ALL)
    assert [each.name for each in after] == [each.name for each in before]
    store.connect_to_read()
    assert mlflow.get_experiment_by_name(NAME)


def test_the_database_of_another_project_is_refused(
    other_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would find the artifacts, whose location is relative."""
    check_refused(f"sqlite:///{other_project}/mlflow.db", monkeypatch)
    assert [path.name for path in other_project.iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_a_server_that_shows_another_project_is_refused(
    other_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other_project / "mlflow.db").rename(other_project / "served.db")
    with mlflow_server(other_project) as url:
        check_refused(url, monkeypatch)
    assert {path.name for path in other_project.iterdir()} == {"served.db", "server.log"}


READ = f"""
import mlflow
from tracking import store
store.connect_to_read()
print(mlflow.get_experiment_by_name("{NAME}").name)
"""
# Root may write everything, unless it gives up that right.
UNPRIVILEGED = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@pytest.mark.slow
def test_store_can_be_read_where_nothing_can_be_written(other_project: Path) -> None:
    (other_project / "mlflow.db").chmod(0o444)
    other_project.chmod(0o555)
    prefix = UNPRIVILEGED if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*prefix, sys.executable, "-c", READ],
        cwd=other_project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    other_project.chmod(0o755)  # so that it can be removed
    assert done.stdout == f"{NAME}\n", done.stderr


def test_store_that_does_not_exist_is_not_created_to_be_read(in_tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no MLflow store .*mlflow.db yet.*`sentiment repro`"):
        store.connect_to_read()
    assert list(in_tmp_path.iterdir()) == []


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


def raised_in(package: str) -> Exception:
    """Return an exception of a class that a package defines."""
    kind = type("SomeError", (Exception,), {"__module__": package})
    error: Exception = kind("what is wrong")
    return error


@pytest.mark.parametrize(
    "module", ["botocore.exceptions", "google.api_core.exceptions", "requests.exceptions"]
)
def test_error_of_an_artifact_store_becomes_a_store_error(module: str) -> None:
    with pytest.raises(StoreError, match="cannot be used: what is wrong"), store.store_errors():
        raise raised_in(module)


def test_package_of_a_store_that_is_not_installed_becomes_a_store_error() -> None:
    with pytest.raises(StoreError, match="No module named 'adlfs'"), store.store_errors():
        raise ModuleNotFoundError("No module named 'adlfs'")


@pytest.mark.parametrize(
    "error",
    [
        pd.errors.EmptyDataError("No columns to parse"),
        zipfile.BadZipFile("File is not a zip file"),
        raised_in("tensorflow.python.framework.errors_impl"),
        raised_in("tracking.models"),
        OSError("disk"),
        ValueError("a mistake"),
    ],
    ids=lambda error: type(error).__module__,
)
def test_error_of_another_package_does_not_blame_the_store(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, store.store_errors():
        raise error
    assert raised.value is error


def test_pages_of_runs_are_on_the_server_or_in_the_local_ui(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = "#/experiments/1/runs/abc?workflowType=machine_learning"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.run_url("1", "abc") == f"http://127.0.0.1:5000/{page}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org/")
    assert store.run_url("1", "abc") == f"https://mlflow.example.org/{page}"


class App(BaseHTTPRequestHandler):
    """A program that shows its own page whatever the path is, as many web apps do."""

    def do_GET(self) -> None:
        self.respond(200, b"<title>another program</title>")

    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class OneRun(App):
    """An MLflow server that has one run."""

    def do_GET(self) -> None:
        if self.path == f"/api/2.0/mlflow/runs/get?run_id={RUN_ID}":
            self.respond(200, json.dumps({"run": {"info": {"run_id": RUN_ID}}}).encode())
        else:
            self.respond(404, b"{}")


@contextmanager
def ui(handler: type[App], monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve at the port of the UI, and yield it."""
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setattr(store, "UI_PORT", server.server_port)
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.mark.usefixtures("in_tmp_path")
def test_pages_are_printed_if_the_ui_shows_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with ui(OneRun, monkeypatch):
        has_run = store.ui_has_run(RUN_ID)
    assert has_run is True
    lines = store.describe_pages("1", RUN_ID, has_run).splitlines()
    assert lines == [
        "To look at it, open",
        f"  the run:  {store.run_url('1', RUN_ID)}",
        f"  all runs: {store.runs_url('1')}",
    ]


@pytest.mark.usefixtures("in_tmp_path")
def test_pages_say_how_to_start_the_ui_if_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "UI_PORT", free_port())
    has_run = store.ui_has_run(RUN_ID)
    assert has_run is None
    text = store.describe_pages("1", RUN_ID, has_run)
    assert store.run_url("1", RUN_ID) in text
    assert text.startswith("To look at it, start `sentiment ui`, and open\n")


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize(("handler", "run_id"), [(OneRun, "f" * 32), (App, RUN_ID)])
def test_pages_of_another_project_or_program_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, handler: type[App], run_id: str
) -> None:
    with ui(handler, monkeypatch) as port:
        has_run = store.ui_has_run(run_id)
        assert has_run is False
        text = store.describe_pages("1", RUN_ID, has_run)
    assert text == (
        f"To look at it: sentiment ui --port {port + 1} (port {port} shows another project or "
        "program)"
    )


def test_pages_of_a_server_are_printed_without_a_look_at_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    with ui(App, monkeypatch):
        has_run = store.ui_has_run(RUN_ID)
    assert has_run is True
    text = store.describe_pages("1", RUN_ID, has_run)
    assert text.startswith(
        "To look at it, open\n  the run:  https://mlflow.example.org/#/experiments/1/runs/"
    )


def test_database_on_another_disk_behind_a_link_is_the_store_of_the_project(
    in_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store.connect(NAME)
    disk = tmp_path_factory.mktemp("disk")
    (in_tmp_path / "mlflow.db").rename(disk / "mlflow.db")
    (in_tmp_path / "mlflow.db").symlink_to(disk / "mlflow.db")
    assert store.is_local()
    assert store.connect(NAME) == "1"
