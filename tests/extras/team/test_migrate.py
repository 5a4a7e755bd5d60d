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

from extras.common.run_groups import PARENT
from extras.team import artifacts
from tests.conftest import Sharer
from tests.extras.team.servers import Team, team
from tests.extras.team.test_server_options import options
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
        code = "from tests.extras.team.test_migrate import add_runs; add_runs()"
        project.run("python", "-c", code)
        query = f"SELECT run_id FROM model_versions WHERE name = '{MODEL}' ORDER BY version"
        for (run_id,) in execute(project, query):
            project.run("python", "-m", "tools.promote", "--run", run_id)

    return shared("laptop", fill, two_runs.path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team")) as started:
        yield started


@pytest.fixture(scope="module")
def own(laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the laptop's project, with the administrator's environment."""
    project = laptop.copy(tmp_path_factory.mktemp("laptop") / "project")
    project.environment |= server.parts.environment | server.user("admin")
    del project.environment["MLFLOW_TRACKING_URI"]
    return project


def another(own: Project, folder: Path) -> Project:
    """Another laptop with the same history, and the administrator's environment."""
    project = own.copy(folder / "project")
    project.environment |= own.environment
    return project


def target(server: Team) -> tuple[str, ...]:
    return ("--to", server.address, "--settings", f"{server.folder}/server.yaml")


def rows(server: Team, table: str) -> int:
    """The rows of a table on the server."""
    ((count,),) = server.parts.sql(f"SELECT count(*) FROM {table}", "mlflow")
    return int(count)


def execute(project: Project, *statements: str) -> list[Any]:
    """Execute statements in a laptop's database; the rows of the last one."""
    with closing(sqlite3.connect(project.path / "mlflow.db")) as database, database:
        cursors = [database.execute(statement) for statement in statements]
        return cursors[-1].fetchall()


def migrate(project: Project, server: Team) -> dict[str, Any]:
    """What `make migrate` prints as JSON."""
    result: dict[str, Any] = json.loads(project.read(*MIGRATE, *target(server), "--json"))
    return result


def test_a_server_s_folder_gets_what_it_lacks_and_says_what_differs(tmp_path: Path) -> None:
    place = artifacts.Folder(options(artifacts=str(tmp_path / "there")))
    sources = {f"1/{name}": tmp_path / name for name in ("same", "new", "longer", "other")}
    for source in sources.values():
        source.write_text("content", encoding="utf-8")
    artifacts.put({name: sources[name] for name in sources if name != "1/new"}, place)
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
    assert rows(server, "runs") == len(server.objects()) == 0


def test_a_migration_that_is_killed_leaves_no_row_and_is_gone_on_with(
    own: Project, server: Team
) -> None:
    code = KILLED.format(address=server.address, settings=f"{server.folder}/server.yaml")
    process = own.start("python", "-c", code)
    process.communicate(timeout=300)
    assert process.returncode == -9
    assert rows(server, "runs") == rows(server, "metrics") == 0
    uploaded = server.objects()
    assert uploaded
    result = migrate(own, server)
    assert result["equal"]
    assert result["brought"]["files"] == 0
    assert server.objects() == uploaded
    assert result["files"] == len(uploaded)
    assert rows(server, "runs") == RUNS


@pytest.fixture(scope="module")
def moved(own: Project, server: Team) -> dict[str, Any]:
    """The result of another migration after the first one."""
    own.run(*MIGRATE, *target(server))
    return migrate(own, server)


def test_called_again_nothing_is_brought_twice(moved: dict[str, Any], server: Team) -> None:
    assert moved["equal"]
    assert moved["brought"] == {"rows": 0, "files": 0}
    assert moved["differing"] == []
    counts = {table["name"]: (table["here"], table["there"]) for table in moved["tables"]}
    assert counts["runs"] == (RUNS, RUNS)
    assert counts["model_versions"] == (2, 2)
    assert rows(server, "registered_model_aliases") == 1


def described(run: Run, client: mlflow.MlflowClient) -> dict[str, Any]:
    """All of a run but where its artifacts are, with every point of its metrics."""
    document: dict[str, Any] = run.to_dictionary()
    for name in ("artifact_uri", "experiment_id"):
        del document["info"][name]
    document["points"] = {
        name: sorted(
            (point.step, point.timestamp, str(point.value))
            for point in client.get_metric_history(run.info.run_id, name)
        )
        for name in document["data"].pop("metrics")
    }
    return document


@pytest.mark.usefixtures("moved")
def test_a_client_sees_the_same_runs_models_and_versions(
    own: Project, server: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(own.path)
    here = mlflow.MlflowClient(f"sqlite:///{own.path}/mlflow.db")
    there = mlflow.MlflowClient(server.address)
    assert len(history(here)) > 24
    assert history(here) == history(there)


def history(client: mlflow.MlflowClient) -> list[dict[str, Any]]:
    """Every ninth run, each that has a model, and all versions, as a client sees them."""
    experiment = client.get_experiment_by_name(store.EXPERIMENT)
    assert experiment
    ids = [experiment.experiment_id]
    all_runs = client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)
    versions = client.search_model_versions(f"name = '{MODEL}'")
    champion = client.get_model_version_by_alias(MODEL, "champion")
    return [
        *(
            described(run, client)
            for number, run in enumerate(all_runs)
            if number % 9 == 0 or run.data.tags.get("model.id")
        ),
        *(
            {
                "version": str(version.version),
                "tags": version.tags,
                "run": version.run_id,
                "source": version.source,
                "created": version.creation_timestamp,
            }
            for version in sorted(versions, key=lambda version: int(version.version))
        ),
        {"champion": str(champion.version), "model": champion.source},
    ]


@pytest.mark.usefixtures("moved")
def test_what_is_new_on_the_laptop_is_brought(own: Project, server: Team, tmp_path: Path) -> None:
    project = another(own, tmp_path)
    code = (
        "import mlflow; from workflow.runs import store; number = store.connect(); "
        "client = mlflow.MlflowClient(); "
        "run_id = client.create_run(number, 1_600_000_000_000).info.run_id; "
        "client.log_text(run_id, 'new', 'note.txt'); client.set_terminated(run_id); print(run_id)"
    )
    run_id = project.read("python", "-c", code).split()[-1]
    result = migrate(project, server)
    assert result["equal"]
    assert result["brought"]["files"] == 1
    status = f"SELECT status FROM runs WHERE run_uuid = '{run_id}'"
    assert server.parts.sql(status, "mlflow") == [("FINISHED",)]


def test_other_content_under_the_same_name_is_refused_before_anything_is_written(
    own: Project, server: Team, tmp_path: Path
) -> None:
    project = another(own, tmp_path)
    changed = next((project.path / "mlruns").rglob("a b.txt"))
    before = rows(server, "params"), server.objects()
    changed.write_text("notes N", encoding="utf-8")
    changed.with_name("new.txt").write_text("new", encoding="utf-8")
    said = project.fail(*MIGRATE, *target(server))
    assert "other files under the same path" in said
    assert "notes/a b.txt" in said
    ((run_id,),) = execute(project, "SELECT run_uuid FROM params WHERE value = '150'")
    execute(
        project,
        "UPDATE params SET value = 'changed' WHERE value = '150'",
        f"UPDATE tags SET value = 'imdb' WHERE run_uuid = '{run_id}'",
        f"UPDATE model_versions SET run_id = '{'0' * 32}' WHERE version = 1",
    )
    said = project.fail(*MIGRATE, *target(server))
    assert "nothing was moved" in said
    assert f"run {run_id}, in params" in said
    assert f"run {run_id}, in tags" in said
    assert "version 1 of synthetic-sentiment" in said
    assert (rows(server, "params"), server.objects()) == before


def test_commands_use_the_history_on_the_server_and_what_they_change_there_stays(
    moved: dict[str, Any], own: Project, server: Team, tmp_path: Path
) -> None:
    """By a teammate, who has the project without the history."""
    assert moved["equal"]
    teammate = own.copy(tmp_path / "project")
    (teammate.path / "mlflow.db").unlink()
    teammate.environment |= server.user("admin")
    run_id = files.read_json(teammate.path / "data/train/run.json")["run_id"]
    assert json.loads(teammate.read("python", "-m", "tools.sync", "--json"))["run_id"] == run_id
    answer = json.loads(teammate.read("python", "-m", "tools.predict", "--json", "--text", "fine"))
    assert 0 < answer["probability"] < 1
    ((first,),) = server.parts.sql("SELECT run_id FROM model_versions WHERE version = 1", "mlflow")
    compared = teammate.read("python", "-m", "extras.compare", "--a", first, "--json")
    assert json.loads(compared)["b"]["run_id"] == run_id
    teammate.run("python", "-m", "extras.compare.report")
    promote = ("python", "-m", "tools.promote", "--json", "--run")
    assert json.loads(teammate.read(*promote, first))["champion"] == "1"
    assert json.loads(teammate.read(*promote, run_id))["champion"] == "2"
    demoted = json.loads(teammate.read("python", "-m", "tools.demote", "--json"))
    assert demoted["champion"] == "1"
    assert not (teammate.path / "mlflow.db").exists()
    said = own.fail(*MIGRATE, *target(server))
    assert "nothing was moved" in said
    assert "version 2 of synthetic-sentiment" in said
    assert server.parts.sql("SELECT version FROM registered_model_aliases", "mlflow") == [(1,)]
