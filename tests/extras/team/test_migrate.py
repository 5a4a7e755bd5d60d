"""`make migrate`: a history of 200 runs on the team's server, whole, once and unchanged."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from selenium import webdriver

from extras.common.run_groups import PARENT
from tests.browser import keep_screenshot, open_page
from tests.conftest import Sharer
from tests.extras.team.servers import Team, password, team
from tests.project import MODEL, Project, free_port
from workflow import files
from workflow.runs import store

MIGRATE = ("python", "-m", "extras.team.migrate")
RUNS = 200
STATUSES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED")
KILLED = """
import os, sys
from extras.team import migrate
from extras.team import store_history as history
from workflow import cli

insert, calls = history.insert, []

def killed(table):
    calls.append(table)
    if len(calls) > 4:
        os.kill(os.getpid(), 9)
    return insert(table)

history.insert = killed
sys.argv = ["migrate", "--to", "{address}", "--settings", "{settings}"]
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
        client.log_batch(
            run_id,
            metrics=[*points, Metric("accuracy", float("nan"), begun, 1)],
            params=[Param("train.units", str(number)), Param("note", "ä, 'quoted'\n")],
            tags=[RunTag("dataset", "synthetic")],
        )
        client.set_terminated(run_id, STATUSES[number % 5], begun + 50_000)
        if number % 10 == 3:
            client.delete_run(run_id)
        if number % 25 == 0:
            client.log_text(run_id, f"notes {number}", "notes/a b.txt")


@pytest.fixture(scope="session")
def laptop(two_runs: Project, shared: Sharer) -> Project:
    """A project with 200 runs, two of them trainings that were champion one after the other."""

    def fill(project: Project) -> None:
        project.run(
            "python", "-c", "from tests.extras.team.test_migrate import add_runs; add_runs()"
        )
        with closing(sqlite3.connect(project.path / "mlflow.db")) as database:
            query = f"SELECT run_id FROM model_versions WHERE name = '{MODEL}' ORDER BY version"
            trained = [run_id for (run_id,) in database.execute(query)]
        for run_id in trained:
            project.run("python", "-m", "tools.promote", "--run", run_id)

    return shared("laptop", fill, two_runs.path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team")) as found:
        yield found


@pytest.fixture(scope="module")
def own(laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the laptop's project, with the administrator's environment."""
    project = laptop.copy(tmp_path_factory.mktemp("laptop") / "project")
    project.environment |= server.parts.environment
    project.environment |= {
        name: value for name, value in server.user("admin").items() if name != "MLFLOW_TRACKING_URI"
    }
    return project


def another(own: Project, folder: Path) -> Project:
    """Another laptop with the same history, and the administrator's environment."""
    project = own.copy(folder / "project")
    project.environment |= own.environment
    return project


def options(server: Team) -> tuple[str, ...]:
    return ("--to", server.address, "--settings", f"{server.folder}/server.yaml")


def rows(server: Team, table: str) -> int:
    """The rows of a table on the server."""
    ((count,),) = server.parts.sql(f"SELECT count(*) FROM {table}", "mlflow")
    return int(count)


def objects(server: Team) -> int:
    """The files that the server has."""
    from tests.extras.team.servers import BUCKET
    from tests.object_store import client

    pages = client(server.parts.store.environment).get_paginator("list_objects_v2")
    return sum(page["KeyCount"] for page in pages.paginate(Bucket=BUCKET))


def test_what_stands_in_the_way_is_one_message_and_nothing_is_moved(
    own: Project, server: Team, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = own.fail(*MIGRATE, "--to", nowhere, *options(server)[2:])
    assert f"The MLflow server at {nowhere} cannot be used" in said
    said = own.fail(*MIGRATE, *options(server), MLFLOW_TRACKING_PASSWORD="another one")
    assert "401" in said
    settings = server.parts.write(tmp_path, runs=server.parts.settings["users"] + "x")
    said = own.fail(*MIGRATE, "--to", server.address, "--settings", str(settings))
    assert "does not exist" in said
    with closing(sqlite3.connect(own.path / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET status = 'RUNNING' WHERE name = 'trial 1'")
    assert "Still running: " in own.fail(*MIGRATE, *options(server))
    with closing(sqlite3.connect(own.path / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET status = 'FINISHED' WHERE name = 'trial 1'")
    assert rows(server, "runs") == objects(server) == 0


def test_a_migration_that_is_killed_leaves_no_row_and_is_gone_on_with(
    own: Project, server: Team
) -> None:
    code = KILLED.format(address=server.address, settings=f"{server.folder}/server.yaml")
    process = own.start("python", "-c", code)
    process.communicate(timeout=300)
    assert process.returncode == -9
    assert rows(server, "runs") == rows(server, "metrics") == 0
    uploaded = objects(server)
    assert uploaded > 0
    result = json.loads(own.read(*MIGRATE, *options(server), "--json"))
    assert result["equal"]
    assert result["brought"]["files"] == 0
    assert objects(server) == uploaded == result["files"]
    assert rows(server, "runs") == RUNS


@pytest.fixture(scope="module")
def moved(own: Project, server: Team) -> dict[str, Any]:
    """The result of another migration after the first one."""
    own.run(*MIGRATE, *options(server))
    found: dict[str, Any] = json.loads(own.read(*MIGRATE, *options(server), "--json"))
    return found


def test_called_again_nothing_is_brought_twice(moved: dict[str, Any], server: Team) -> None:
    assert moved["equal"]
    assert moved["brought"] == {"rows": 0, "files": 0}
    assert moved["differing"] == []
    counts = {each["name"]: (each["here"], each["there"]) for each in moved["tables"]}
    assert counts["runs"] == (RUNS, RUNS)
    assert counts["model_versions"] == (2, 2)
    assert rows(server, "registered_model_aliases") == 1


def described(run: Run, client: mlflow.MlflowClient) -> dict[str, Any]:
    """All of a run but where its artifacts are."""
    info = {name: value for name, value in dict(run.info).items() if name != "artifact_uri"}
    points = {
        name: sorted(
            (each.step, each.timestamp, str(each.value))
            for each in client.get_metric_history(run.info.run_id, name)
        )
        for name in run.data.metrics
    }
    inputs = run.inputs.to_dictionary() if run.inputs else {}
    outputs = run.outputs.to_dictionary() if run.outputs else {}
    info.pop("experiment_id")
    return {"info": info, "tags": run.data.tags, "params": run.data.params, "points": points,
            "inputs": inputs, "outputs": outputs}  # fmt: skip


@pytest.mark.usefixtures("moved")
def test_a_client_sees_the_same_runs_models_and_versions(
    own: Project, server: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(own.path)
    here = mlflow.MlflowClient(f"sqlite:///{own.path}/mlflow.db")
    there = mlflow.MlflowClient(server.address)
    found = []
    for client in (here, there):
        experiment = client.get_experiment_by_name(store.EXPERIMENT)
        assert experiment
        searched = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL,
                                      max_results=1000)  # fmt: skip
        some = [
            run for at, run in enumerate(searched) if at % 9 == 0 or run.data.tags.get("model.id")
        ]
        found.append([described(run, client) for run in some])
        versions = client.search_model_versions(f"name = '{MODEL}'")
        found[-1] += [
            {
                "version": str(each.version),
                "tags": each.tags,
                "run": each.run_id,
                "source": each.source,
                "created": each.creation_timestamp,
            }
            for each in sorted(versions, key=lambda version: int(version.version))
        ]  # fmt: skip
        champion = client.get_model_version_by_alias(MODEL, "champion")
        found[-1].append({"champion": str(champion.version), "model": champion.source})
    assert len(found[0]) > 24
    assert found[0] == found[1]


def test_what_is_new_on_the_laptop_is_brought(own: Project, server: Team, tmp_path: Path) -> None:
    project = another(own, tmp_path)
    code = (
        "import mlflow; from workflow.runs import store; number = store.connect(); "
        "client = mlflow.MlflowClient(); "
        "run_id = client.create_run(number, 1_600_000_000_000).info.run_id; "
        "client.log_text(run_id, 'new', 'note.txt'); client.set_terminated(run_id); print(run_id)"
    )
    run_id = project.read("python", "-c", code).split()[-1]
    result = json.loads(project.read(*MIGRATE, *options(server), "--json"))
    assert result["equal"]
    assert result["brought"]["files"] == 1
    status = f"SELECT status FROM runs WHERE run_uuid = '{run_id}'"
    assert server.parts.sql(status, "mlflow") == [("FINISHED",)]


def test_other_content_under_the_same_name_is_refused_before_anything_is_written(
    own: Project, server: Team, tmp_path: Path
) -> None:
    project = another(own, tmp_path)
    with closing(sqlite3.connect(project.path / "mlflow.db")) as database, database:
        database.execute("UPDATE params SET value = 'changed' WHERE value = '150'")
        database.execute(f"UPDATE model_versions SET run_id = '{'0' * 32}' WHERE version = 1")
        query = "SELECT run_uuid FROM params WHERE value = 'changed'"
        (run_id,) = database.execute(query).fetchone()
        database.execute(f"UPDATE tags SET value = 'imdb' WHERE run_uuid = '{run_id}'")
    added = project.path / "mlruns" / "1" / run_id / "artifacts" / "new.txt"
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_text("new", encoding="utf-8")
    before = rows(server, "params"), objects(server)
    said = project.fail(*MIGRATE, *options(server))
    assert "nothing was moved" in said
    assert f"run {run_id}, in params" in said
    assert f"run {run_id}, in tags" in said
    assert "version 1 of synthetic-sentiment" in said
    assert (rows(server, "params"), objects(server)) == before


def test_another_file_under_the_same_path_is_refused(
    own: Project, server: Team, tmp_path: Path
) -> None:
    project = another(own, tmp_path)
    changed = next((project.path / "mlruns").rglob("a b.txt"))
    changed.write_text("notes N", encoding="utf-8")
    said = project.fail(*MIGRATE, *options(server))
    assert "other files under the same path" in said
    assert "notes/a b.txt" in said


@pytest.fixture(scope="module")
def teammate(
    own: Project, moved: dict[str, Any], server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A copy of the project without the history, on the server's."""
    assert moved["equal"]
    project = own.copy(tmp_path_factory.mktemp("teammate") / "project")
    (project.path / "mlflow.db").unlink()
    project.environment |= server.user("admin")
    return project


def test_commands_find_the_history_on_the_server(teammate: Project, server: Team) -> None:
    run_id = files.read_json(teammate.path / "data/train/run.json")["run_id"]
    assert json.loads(teammate.read("python", "-m", "tools.sync", "--json"))["run_id"] == run_id
    answer = json.loads(teammate.read("python", "-m", "tools.predict", "--json", "--text", "fine"))
    assert 0 < answer["probability"] < 1
    ((first,),) = server.parts.sql("SELECT run_id FROM model_versions WHERE version = 1", "mlflow")
    compared = teammate.read("python", "-m", "extras.compare", "--a", first, "--json")
    assert json.loads(compared)["b"]["run_id"] == run_id
    teammate.run("python", "-m", "extras.compare.report")
    demoted = json.loads(teammate.read("python", "-m", "tools.demote", "--json"))
    assert demoted["champion"] == "1"
    promoted = teammate.read("python", "-m", "tools.promote", "--run", run_id, "--json")
    assert json.loads(promoted)["champion"] == "2"
    assert not (teammate.path / "mlflow.db").exists()


def test_the_pages_in_the_browser_show_it(
    moved: dict[str, Any], own: Project, server: Team, browser: webdriver.Chrome
) -> None:
    """The newest runs first, children below them, and the versions, the second of them champion."""
    assert moved["equal"]
    with closing(sqlite3.connect(own.path / "mlflow.db")) as database:
        children = f"SELECT run_uuid FROM tags WHERE key = '{PARENT}'"
        query = f"SELECT name FROM runs WHERE run_uuid NOT IN ({children}) ORDER BY start_time DESC"
        names = [name for (name,) in database.execute(f"{query} LIMIT 4")]
    host = server.address.removeprefix("http://")
    browser.get(f"http://admin:{password('admin')}@{host}")  # as if typed where Chromium asks
    page = "#/experiments/1/runs?workflowType=machine_learning"
    open_page(browser, f"{server.address}/{page}", *names)
    keep_screenshot(browser, "migrated-runs")
    open_page(browser, f"{server.address}/#/models/{MODEL}", "Version 1", "Version 2", "@ champion")
    keep_screenshot(browser, "migrated-model")


def test_what_was_changed_on_the_server_is_named_and_stays(
    teammate: Project, own: Project, server: Team
) -> None:
    demoted = json.loads(teammate.read("python", "-m", "tools.demote", "--json"))
    assert demoted["champion"] == "1"
    said = own.fail(*MIGRATE, *options(server))
    assert "nothing was moved" in said
    assert "version 2 of synthetic-sentiment" in said
    assert server.parts.sql("SELECT version FROM registered_model_aliases", "mlflow") == [(1,)]
