"""`make migrate`: a history of many runs on the team's server, whole, once and unchanged."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType

from extras.common.run_groups import PARENT
from extras.team import artifacts
from tests.conftest import Sharer, stand_in
from tests.extras.team.servers import Parts, Team, serving
from tests.extras.team.test_server import options
from tests.project import MODEL, Project, free_port
from workflow import files
from workflow.runs import store

MIGRATE = ("python", "-m", "extras.team.migrate")
RUNS = 100
STATUSES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED")
KILLED = """
import os
from extras.team import migrate, store_history
from workflow import cli

insert, left = store_history.insert, [1, 2, 3, 4]
die = lambda _: os.kill(os.getpid(), 9)
store_history.insert = lambda table: (insert if left and left.pop() else die)(table)
cli.run("make migrate", migrate.main)
"""


def add_runs() -> None:
    """Runs as sweeps and seeds make them: children of others, some failed, some deleted."""
    experiment_id, client, parent = store.connect(), mlflow.MlflowClient(), ""
    for number in range(RUNS - 2):
        begun, first = 1_700_000_000_000 + 60_000 * number, number % 20 == 0
        tags = {"mlflow.runName": f"trial {number}", "sweep.key" if first else PARENT: parent}
        run_id = client.create_run(experiment_id, begun, tags).info.run_id
        parent = run_id if first else parent
        points = [Metric("loss", 1 / step, begun + step, step) for step in range(1, 6)]
        metrics = [*points, Metric("accuracy", float("nan"), begun, 1)]
        params = [Param("train.units", str(number)), Param("note", "ä, 'quoted'\n")]
        client.log_batch(run_id, metrics, params, [RunTag("dataset", "synthetic")])
        client.set_terminated(run_id, STATUSES[number % 5], begun + 50_000)
        if number % 10 == 3:
            client.delete_run(run_id)
        if number % 25 == 0:
            client.log_text(run_id, f"notes {number}", "notes/a b.txt")


def execute(project: Project, *statements: str) -> list[Any]:
    """Execute statements in a laptop's database; the rows of the last one."""
    with closing(sqlite3.connect(project.path / "mlflow.db")) as database, database:
        return [database.execute(statement).fetchall() for statement in statements][-1]


@pytest.fixture(scope="session")
def laptop(two_runs: Project, shared: Sharer) -> Project:
    """A project with `RUNS` runs, two of them trainings that were champion one after the other."""

    def fill(project: Project) -> None:
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            add_runs()
        query = f"SELECT run_id FROM model_versions WHERE name = '{MODEL}' ORDER BY version"
        for (run_id,) in execute(project, query):
            project.run("python", "-m", "tools.promote", "--run", run_id)

    return shared("laptop", fill, two_runs.path)


@pytest.fixture(scope="module")
def server(processes: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with serving(processes.empty("moved"), tmp_path_factory.mktemp("moved")) as started:
        yield started


@pytest.fixture(scope="module")
def own(laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the laptop's project, with the administrator's environment."""
    project = laptop.copy(tmp_path_factory.mktemp("laptop") / "project")
    project.environment |= server.parts.environment | server.user("admin")
    del project.environment["MLFLOW_TRACKING_URI"]
    return project


@pytest.fixture
def another(own: Project, tmp_path: Path) -> Project:
    """Another laptop with the same history, and the administrator's environment."""
    project = own.copy(tmp_path / "project")
    project.environment |= own.environment
    return project


def target(server: Team) -> tuple[str, ...]:
    return ("--to", server.address, "--settings", f"{server.folder}/server.yaml")


def rows(server: Team, table: str) -> int:
    """The rows of a table on the server."""
    ((count,),) = server.parts.sql(f"SELECT count(*) FROM {table}", "moved")
    return int(count)


def document(project: Project, *command: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(project.read("python", "-m", *command, "--json"))


def migrate(project: Project, server: Team) -> Any:
    return document(project, "extras.team.migrate", *target(server))


def test_a_server_s_folder_gets_what_it_lacks_and_says_what_differs(tmp_path: Path) -> None:
    place = artifacts.Folder(options(artifacts=str(tmp_path / "there")))
    sources = {f"1/{name}": tmp_path / name for name in ("same", "new", "longer", "other")}
    for source in sources.values():
        source.write_text("content", encoding="utf-8")
    for path in ("1/same", "1/longer", "1/other"):
        place.put(sources[path], path)
    (tmp_path / "there/1/longer").write_text("content and more", encoding="utf-8")
    (tmp_path / "there/1/other").write_text("CONTENT", encoding="utf-8")
    new, differing = artifacts.compare(sources, place, "1")
    assert (new, differing) == ({"1/new": tmp_path / "new"}, ["1/longer", "1/other"])
    assert len(list(tmp_path.glob("there/1/*"))) == 3  # and nothing beside them


def test_what_stands_in_the_way_is_one_message_and_nothing_is_moved(
    own: Project, server: Team, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = own.fail(*MIGRATE, "--to", nowhere, *target(server)[2:])
    assert f"The MLflow store at {nowhere} cannot be used" in said
    said = own.fail(*MIGRATE, *target(server), MLFLOW_TRACKING_PASSWORD="another one")
    assert "does not know admin by this password" in said
    settings = server.parts.write(tmp_path, runs=server.parts.settings["users"] + "x")
    said = own.fail(*MIGRATE, "--to", server.address, "--settings", str(settings))
    assert "does not exist" in said
    execute(own, "UPDATE runs SET status = 'RUNNING' WHERE name = 'trial 1'")
    assert "Still running: " in own.fail(*MIGRATE, *target(server))
    execute(own, "UPDATE runs SET status = 'FINISHED' WHERE name = 'trial 1'")
    assert rows(server, "runs") == len(server.parts.objects()) == 0


def test_a_migration_that_is_killed_leaves_no_row_and_is_gone_on_with(
    own: Project, server: Team
) -> None:
    process = own.start("python", "-c", KILLED, *target(server))
    process.communicate(timeout=300)
    assert process.returncode == -9
    assert rows(server, "runs") == rows(server, "metrics") == 0
    uploaded = server.parts.objects()
    assert uploaded
    result = migrate(own, server)
    assert result["equal"]
    assert result["brought"]["files"] == 0
    assert server.parts.objects() == uploaded
    assert result["files"] == len(uploaded)
    assert rows(server, "runs") == RUNS


@pytest.fixture(scope="module")
def moved(own: Project, server: Team) -> Any:
    """The result of another migration after the first one."""
    own.run(*MIGRATE, *target(server))
    return migrate(own, server)


def test_called_again_nothing_is_brought_twice(moved: Any, server: Team) -> None:
    assert moved["equal"]
    assert moved["brought"] == {"rows": 0, "files": 0}
    assert moved["differing"] == []
    counts = {table["name"]: (table["here"], table["there"]) for table in moved["tables"]}
    assert counts["runs"] == (RUNS, RUNS)
    assert counts["model_versions"] == (2, 2)
    assert rows(server, "registered_model_aliases") == 1


def history(client: mlflow.MlflowClient) -> str:
    """All runs, some of their curves, and all versions, as a client sees them."""
    experiment = client.get_experiment_by_name(store.EXPERIMENT)
    assert experiment
    ids = [experiment.experiment_id]
    runs = client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)
    documents = [run.to_dictionary() for run in runs]
    for run in documents:  # but where its artifacts are
        del run["info"]["artifact_uri"], run["info"]["experiment_id"]
        run["inputs"]["dataset_inputs"].sort(key=str)
    curves = [
        sorted((point.step, point.timestamp, point.value) for point in points)
        for run in runs[::9]
        for points in (client.get_metric_history(run.info.run_id, it) for it in run.data.metrics)
    ]
    versions = sorted(
        [str(it.version), it.run_id, it.source, it.creation_timestamp, sorted(it.tags.items())]
        for it in client.search_model_versions(f"name = '{MODEL}'")
    )
    champion = client.get_model_version_by_alias(MODEL, "champion")
    return json.dumps([documents, curves, versions, str(champion.version)], sort_keys=True)


@pytest.mark.usefixtures("moved")
def test_a_client_sees_the_same_runs_models_and_versions(
    own: Project, server: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(own.path)
    here = history(mlflow.MlflowClient(f"sqlite:///{own.path}/mlflow.db"))
    assert here.count('"run_name"') == RUNS
    assert here == history(mlflow.MlflowClient(server.address))


@pytest.mark.usefixtures("moved")
def test_what_is_new_on_the_laptop_is_brought(
    another: Project, server: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(another.path, monkeypatch)
    client = mlflow.MlflowClient()
    run_id = client.create_run(store.connect(), 1_600_000_000_000).info.run_id
    client.log_text(run_id, "new", "note.txt")
    client.set_terminated(run_id)
    result = migrate(another, server)
    assert result["equal"]
    assert result["brought"]["files"] == 1
    status = f"SELECT status FROM runs WHERE run_uuid = '{run_id}'"
    assert server.parts.sql(status, "moved") == [("FINISHED",)]


@pytest.mark.usefixtures("moved")
def test_other_content_under_the_same_name_is_refused_before_anything_is_written(
    another: Project, server: Team
) -> None:
    changed = next((another.path / "mlruns").rglob("a b.txt"))
    before = rows(server, "params"), server.parts.objects()
    changed.write_text("notes N", encoding="utf-8")
    changed.with_name("new.txt").write_text("new", encoding="utf-8")
    said = another.fail(*MIGRATE, *target(server))
    assert "other files under the same path" in said
    assert "notes/a b.txt" in said
    one = "key = 'train.units' AND value = '75'"
    ((run_id,),) = execute(another, f"SELECT run_uuid FROM params WHERE {one}")
    execute(
        another,
        f"UPDATE params SET value = 'changed' WHERE {one}",
        f"UPDATE tags SET value = 'imdb' WHERE run_uuid = '{run_id}'",
        f"UPDATE model_versions SET run_id = '{'0' * 32}' WHERE version = 1",
    )
    said = another.fail(*MIGRATE, *target(server))
    for part in ("nothing was moved", f"run {run_id}, in params", f"run {run_id}, in tags"):
        assert part in said
    assert "version 1 of synthetic-sentiment" in said
    assert (rows(server, "params"), server.parts.objects()) == before


@pytest.mark.usefixtures("moved")
def test_commands_use_the_history_on_the_server_and_what_they_change_there_stays(
    own: Project, server: Team, tmp_path: Path
) -> None:
    """By a teammate, who has the project without the history."""
    teammate = own.copy(tmp_path / "project")
    (teammate.path / "mlflow.db").unlink()
    teammate.environment |= server.user("admin")
    run_id = files.read_json(teammate.path / "data/train/run.json")["run_id"]
    assert document(teammate, "tools.sync")["run_id"] == run_id
    answer = document(teammate, "tools.predict", "--text", "fine")
    assert 0 < answer["probability"] < 1
    ((first,),) = server.parts.sql("SELECT run_id FROM model_versions WHERE version = 1", "moved")
    assert document(teammate, "extras.compare", "--a", first)["b"]["run_id"] == run_id
    assert document(teammate, "tools.promote", "--run", first)["champion"] == "1"
    assert document(teammate, "tools.promote", "--run", run_id)["champion"] == "2"
    assert document(teammate, "tools.demote")["champion"] == "1"
    assert not (teammate.path / "mlflow.db").exists()
    said = own.fail(*MIGRATE, *target(server))
    assert "nothing was moved" in said
    assert "version 2 of synthetic-sentiment" in said
    assert server.parts.sql("SELECT version FROM registered_model_aliases", "moved") == [(1,)]
