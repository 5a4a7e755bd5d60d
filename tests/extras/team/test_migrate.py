"""`make migrate`: a laptop's history on the team's server, whole, once and unchanged."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import ViewType

from extras.team import migrate
from tests.conftest import Caller, stand_in
from tests.extras.team.conftest import RUNS
from tests.extras.team.servers import Team
from tests.object_store import client as object_client
from tests.project import MODEL, Project, free_port
from workflow import store

pytestmark = pytest.mark.slow
KILLED = """
import os
from extras.team import migrate, store_history
from workflow.commands import run_command

insert, left = store_history.insert, [1, 2, 3]
die = lambda _: os.kill(os.getpid(), 9)
store_history.insert = lambda table: (insert if left and left.pop() else die)(table)
run_command("make migrate", migrate.main)
"""


@pytest.fixture
def own(laptop: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The laptop's project, in which the test stands, as the administrator."""
    monkeypatch.chdir(laptop.path)
    for name, value in laptop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the command sets it; monkeypatch sets it back
    return laptop.path


def execute(project: Path, statement: str) -> None:
    """Execute a statement in a laptop's database."""
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        database.execute(statement)


def rows(server: Team, table: str) -> int:
    """The rows of a table on the server."""
    ((count,),) = server.parts.sql(f"SELECT count(*) FROM {table}", "mlflow")
    return int(count)


def test_what_stands_in_the_way_is_one_message_and_nothing_is_moved(
    own: Path, server: Team, call: Caller
) -> None:
    def said(address: str = server.address, **environment: str) -> str:
        return call.fail(migrate.main, "--to", address, **environment)

    assert "mlflow.example.org is not a server's URL" in said("mlflow.example.org")
    assert "does not answer" in said(f"http://127.0.0.1:{free_port()}")
    password = server.user("admin")["MLFLOW_TRACKING_PASSWORD"]
    assert "rejected the user name or password" in said(MLFLOW_TRACKING_PASSWORD="another one")
    call.monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    runs = server.parts.settings["runs"]
    server.parts.write(own, runs=f"{runs}_s")
    assert 'database "mlflow_s" does not exist' in said()
    server.parts.sql("CREATE DATABASE mlflow_s OWNER mlflow")
    subprocess.run(f"pg_dump {runs} | psql {runs}_s", shell=True, check=True, capture_output=True)
    server.parts.sql("UPDATE experiments SET creation_time = 0", "mlflow_s")
    assert "uses another database than the one in" in said()
    server.parts.write(own)
    execute(own, "UPDATE runs SET status = 'RUNNING' WHERE name = 'trial 1'")
    assert "Still running: " in said()
    execute(own, "UPDATE runs SET status = 'FINISHED' WHERE name = 'trial 1'")
    assert rows(server, "runs") == len(server.parts.objects()) == 0


def test_a_migration_that_is_killed_leaves_no_row_and_is_gone_on_with(
    own: Path, laptop: Project, server: Team, call: Caller
) -> None:
    process = laptop.start("python", "-c", KILLED, "--to", server.address)
    process.communicate(timeout=300)
    assert process.returncode == -9
    assert rows(server, "runs") == rows(server, "metrics") == 0
    uploaded = server.parts.objects()
    (cut,) = (key for key in uploaded if key.endswith("a b.txt"))
    object_client(server.parts.store.environment).put_object(Bucket="mlflow", Key=cut, Body=b"no")
    result = call.json(migrate.main, "--to", server.address)
    assert result["equal"]
    assert result["brought"]["files"] == 1
    assert server.parts.objects() == uploaded
    logged = [path for path in own.glob("mlruns/**/*") if path.is_file()]
    assert result["files"] == len(uploaded) == len(logged)
    assert rows(server, "runs") == RUNS


def history(client: mlflow.MlflowClient) -> str:
    """All runs, some of their curves, and all versions, as a client sees them."""
    experiment = client.get_experiment_by_name(store.EXPERIMENT)
    assert experiment
    ids = [experiment.experiment_id]
    runs = client.search_runs(ids, run_view_type=ViewType.ALL)
    documents = [run.to_dictionary() for run in runs]
    for run in documents:  # but where its artifacts are
        del run["info"]["artifact_uri"], run["info"]["experiment_id"]
        run["inputs"]["dataset_inputs"].sort(key=str)
    curves = [
        sorted((point.step, point.timestamp, point.value) for point in points)
        for run in runs[::4]
        for points in (client.get_metric_history(run.info.run_id, it) for it in run.data.metrics)
    ]
    versions = sorted(
        [str(it.version), it.run_id, it.source, it.creation_timestamp, sorted(it.tags.items())]
        for it in client.search_model_versions(f"name = '{MODEL}'")
    )
    champion = client.get_model_version_by_alias(MODEL, "champion")
    return json.dumps([documents, curves, versions, str(champion.version)], sort_keys=True)


def test_called_again_nothing_is_brought_twice_and_a_client_sees_the_same_as_here(
    moved: Any, own: Path, server: Team
) -> None:
    assert moved["equal"]
    assert moved["brought"] == {"rows": 0, "files": 0}
    assert {"name": "runs", "here": RUNS, "there": RUNS} in moved["tables"]
    here = history(mlflow.MlflowClient(f"sqlite:///{own}/mlflow.db"))
    assert here.count('"run_name"') == RUNS
    assert here == history(mlflow.MlflowClient(server.address))


@pytest.mark.usefixtures("moved")
def test_what_is_new_is_brought_and_other_content_under_the_same_name_refused(
    own: Path, server: Team, call: Caller
) -> None:
    stand_in(own, call.monkeypatch)
    client = mlflow.MlflowClient()
    run_id = client.create_run(store.connect(), 1_600_000_000_000).info.run_id
    client.log_text(run_id, "new", "note.txt")
    client.set_terminated(run_id)
    result = call.json(migrate.main, "--to", server.address)
    assert result["equal"]
    assert result["brought"]["files"] == 1
    status = f"SELECT status FROM runs WHERE run_uuid = '{run_id}'"
    assert server.parts.sql(status, "mlflow") == [("FINISHED",)]
    before = rows(server, "params"), server.parts.objects()
    note = next(own.glob(f"mlruns/*/{run_id}/artifacts/note.txt"))
    note.write_text("NEW", encoding="utf-8")
    note.with_name("more.txt").touch()
    said = call.fail(migrate.main, "--to", server.address)
    assert "other files under the same path" in said
    assert said.endswith(f"{run_id}/artifacts/note.txt")
    execute(own, "UPDATE params SET value = 'new' WHERE key = 'train.units' AND value = '5'")
    execute(own, "UPDATE model_versions SET run_id = 'another' WHERE version = 3")
    said = call.fail(migrate.main, "--to", server.address)
    assert "nothing was moved" in said
    assert "\n  params: train.units, " in said
    assert "synthetic-sentiment, 3" in said
    assert (rows(server, "params"), server.parts.objects()) == before
