"""There is one tracking store, wherever a stage runs; one that cannot be used is one message."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.tracking import address, experiments, store
from sentiment.tracking.address import StoreError
from tests.small_project import ROOT, free_port
from tests.stores import move_store

NAME = "imdb-sentiment"  # of the experiment in the fixture `empty_store`
OTHER = "other-sentiment"  # of an experiment that is not there
URI = "sqlite:////project/mlflow.db"


def open_experiment(
    name: str = NAME, description: str = "", columns: Sequence[str] = ()
) -> Experiment:
    """Connect to the store of the working directory, and return the experiment of a name."""
    project = Project.here()
    client = store.connect(project)
    experiment_id = experiments.open_experiment(project, client, name, description, columns)
    return client.get_experiment(experiment_id)


@pytest.mark.slow
def test_store_is_the_one_that_mlflow_ui_shows(in_tmp_path: Path) -> None:
    experiment = open_experiment()
    assert address.tracking_uri(Project.here()) == f"sqlite:///{in_tmp_path}/mlflow.db"
    assert (in_tmp_path / "mlflow.db").is_file()
    assert experiment.artifact_location == str(in_tmp_path / "mlruns" / NAME)
    assert open_experiment().experiment_id == experiment.experiment_id


def test_two_processes_create_one_experiment(
    empty_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.here()
    create = MlflowClient.create_experiment

    def create_twice(client: MlflowClient, *arguments: Any) -> str:
        create(client, *arguments)  # as another process does in this moment
        return create(client, *arguments)

    monkeypatch.setattr(MlflowClient, "create_experiment", create_twice)
    created = experiments.open_experiment(project, empty_store, OTHER, "", ())
    found = empty_store.get_experiment_by_name(OTHER)
    assert found is not None
    assert found.experiment_id == created


@pytest.mark.usefixtures("empty_store")
def test_a_new_experiment_has_its_description() -> None:
    experiment = open_experiment(OTHER, "Trainings on `other`.")
    assert experiment.tags["mlflow.note.content"] == "Trainings on `other`."


def shown_columns(experiment: Experiment) -> object:
    """Return the columns of an experiment's shared view, to which the link to its runs leads."""
    view = experiment.tags[f"mlflow.sharedViewState.{experiments.VIEW}"]
    return json.loads(view)["selectedColumns"]


@pytest.mark.usefixtures("empty_store")
def test_the_link_to_the_runs_shows_the_columns_of_the_newest_code() -> None:
    for column in ("metrics.`loss`", "metrics.`accuracy`"):
        open_experiment(OTHER, columns=[column])
        assert shown_columns(open_experiment(OTHER, columns=[column])) == [column]


def test_an_experiment_that_a_person_made_is_shown_as_it_is_with_the_columns(
    empty_store: MlflowClient,
) -> None:
    created = empty_store.create_experiment(OTHER, tags={"mlflow.note.content": "Mine."})
    experiment = open_experiment(OTHER, "Trainings.", ["metrics.`loss`"])
    assert experiment.experiment_id == created
    assert experiment.tags["mlflow.note.content"] == "Mine."
    assert shown_columns(open_experiment(OTHER, "", ["metrics.`loss`"])) == ["metrics.`loss`"]


def test_a_deleted_experiment_names_the_command_that_restores_it(
    empty_store: MlflowClient,
) -> None:
    experiment_id = open_experiment().experiment_id
    empty_store.delete_experiment(experiment_id)
    with pytest.raises(StoreError) as raised:
        open_experiment()
    assert str(raised.value) == (
        f"The experiment {NAME} was deleted in MLflow. To bring it back: "
        f"MLFLOW_TRACKING_URI={empty_store.tracking_uri} mlflow experiments restore "
        f"--experiment-id {experiment_id}"
    )


def test_temporary_copy_of_the_project_uses_the_store_in_the_root(
    in_tmp_path: Path, empty_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = in_tmp_path / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(in_tmp_path))
    experiment = open_experiment()
    assert not (copy / "mlflow.db").exists()
    assert empty_store.get_experiment_by_name(NAME) is not None
    assert experiment.artifact_location == str(in_tmp_path / "mlruns" / NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert address.tracking_uri(Project.here()) == f"sqlite:///{in_tmp_path}/runs.db"


def test_location_that_a_user_chose_is_left_alone(
    empty_store: MlflowClient, tmp_path: Path
) -> None:
    chosen = str(tmp_path.parent / "elsewhere")
    empty_store.create_experiment(OTHER, chosen)
    assert open_experiment(OTHER).artifact_location == chosen


def copied(folder: Path, path: Path) -> None:
    """Copy a folder, as a backup does."""
    shutil.copytree(folder, path)


@pytest.mark.parametrize("change", [Path.rename, copied], ids=["moved", "copied"])
def test_a_moved_or_copied_folder_is_one_message_and_nothing_is_written_to_its_old_path(
    in_tmp_path: Path,
    empty_store_once: Path,
    change: Callable[[Path, Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = in_tmp_path / "before"
    after = in_tmp_path / "after"
    before.mkdir()
    database = shutil.copy2(empty_store_once / address.DATABASE, before)
    move_store(Path(database), experiments.ARTIFACTS, f"{before}/{experiments.ARTIFACTS}")
    change(before, after)
    monkeypatch.chdir(after)
    there = sorted(before.rglob("*"))
    message = rf"{after}/mlflow\.db expects its artifacts in {before}/mlruns: its folder was moved"
    for connect in (store.connect, store.connect_to_read):
        with pytest.raises(StoreError, match=f"^The MLflow store {message}") as raised:
            connect(Project.here())
        assert "\n" not in str(raised.value)
    assert sorted(before.rglob("*")) == there


def test_an_experiment_of_another_program_with_artifacts_elsewhere_is_no_move(
    in_tmp_path: Path, empty_store: MlflowClient
) -> None:
    empty_store.create_experiment("mine", str(in_tmp_path / "notebooks" / "mlruns" / "2"))
    store.connect(Project.here())


def test_link_to_the_folder_of_the_project_is_no_move(
    in_tmp_path: Path,
    empty_store: MlflowClient,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = tmp_path_factory.mktemp("link") / "project"
    link.symlink_to(in_tmp_path)
    monkeypatch.chdir(link)
    store.connect(Project.here())
    assert store.connect_to_read(Project.here()).get_experiment_by_name(NAME)
    assert empty_store.get_experiment_by_name(NAME)


@pytest.mark.parametrize("uri", ["sqlite:///{}/runs.db?timeout=60", "sqlite:///../runs.db"])
def test_two_clones_use_one_database_with_the_artifacts_beside_it(
    in_tmp_path: Path, empty_store_once: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = shutil.copy2(empty_store_once / address.DATABASE, in_tmp_path / "runs.db")
    move_store(Path(database), experiments.ARTIFACTS, f"{in_tmp_path}/{experiments.ARTIFACTS}")
    for name in ("one", "two"):
        (in_tmp_path / name).mkdir()
        monkeypatch.chdir(in_tmp_path / name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(in_tmp_path))  # MLflow changes it
        location = open_experiment(OTHER).artifact_location
        assert location == str(in_tmp_path / "mlruns" / OTHER)
    assert not list(in_tmp_path.glob("*/*"))


READ = f"""
from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.tracking import address, experiments, store
print(store.connect_to_read(Project.here()).get_experiment_by_name("{NAME}").name)
"""
# Root may write everything, unless it gives up that right.
UNPRIVILEGED = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_store")
def test_store_can_be_read_where_nothing_can_be_written(in_tmp_path: Path) -> None:
    (in_tmp_path / "mlflow.db").chmod(0o444)
    in_tmp_path.chmod(0o555)
    prefix = UNPRIVILEGED if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*prefix, sys.executable, "-c", READ],
        cwd=in_tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    in_tmp_path.chmod(0o755)  # so that it can be removed
    assert done.stdout == f"{NAME}\n", done.stderr


def test_store_that_does_not_exist_is_not_created_to_be_read(in_tmp_path: Path) -> None:
    (in_tmp_path / "dvc.yaml").touch()
    with pytest.raises(StoreError, match=r"no MLflow store .*mlflow.db yet.*`dvc repro`"):
        store.connect_to_read(Project.here())
    assert [path.name for path in in_tmp_path.iterdir()] == ["dvc.yaml"]


@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_that_is_no_project_is_said_to_be_none() -> None:
    with pytest.raises(UserError, match=r"dvc\.yaml is missing: run this in the root"):
        store.connect_to_read(Project.here())


CREATE = """
import os, signal, threading, time
from pathlib import Path
from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.tracking import address, experiments, store
def kill_soon():
    while not Path("mlflow.db.partial").exists():
        time.sleep(0.001)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill_soon, daemon=True).start()
store.connect(Project.here())
"""


@pytest.mark.slow
def test_store_is_usable_after_a_kill_while_it_was_created(in_tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CREATE], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (in_tmp_path / "mlflow.db").exists()
    store.connect(Project.here())
    assert not (in_tmp_path / "mlflow.db.partial").exists()


def test_damaged_database_is_one_message_within_seconds(in_tmp_path: Path) -> None:
    (in_tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"store at sqlite:.*mlflow\.db cannot be used"):
        store.connect(Project.here())
    assert time.monotonic() - started < 10


def test_database_of_something_else_is_one_message(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(in_tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num)")
        database.execute("INSERT INTO alembic_version VALUES ('v3.2.0.a')")
        database.commit()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    with pytest.raises(StoreError, match=r"cannot be used: Can't locate revision.*v3\.2\.0\.a"):
        store.connect(Project.here())


@pytest.mark.parametrize(
    "uri", ["sqlite:///folder", "postgresql+psycopg://me:s%40cret@127.0.0.1:{port}/runs"]
)
def test_database_that_cannot_be_opened_fails_within_seconds_without_a_password(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (in_tmp_path / "folder").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot be used.*\n.*MLFLOW_TRACKING_URI") as raised:
        store.connect(Project.here())
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert not (in_tmp_path / "mlflow.db").exists()


def test_folder_of_a_database_is_not_created(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Treat a missing folder as a mistake in the path."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mistaken/mlflow.db")
    with pytest.raises(StoreError, match=rf"^There is no folder {in_tmp_path}/mistaken for the"):
        store.connect(Project.here())
    assert list(in_tmp_path.iterdir()) == []
