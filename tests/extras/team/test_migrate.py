"""`make migrate`: a laptop's runs on the team's server, complete, once and unchanged.

The first four tests need a server without a run; the fourth copies the laptop's runs to it.
"""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest

from extras.team import migrate
from tests.conftest import Caller, stand_in
from tests.extras.team.conftest import DATABASE, RUNS, stand_as_administrator
from tests.extras.team.history import history
from tests.extras.team.servers import Team
from tests.project import Project, free_port
from workflow import store

pytestmark = pytest.mark.slow
KILLED = """
import os
from extras.team import database, migrate
from workflow.commands import run_command

insert = database.insert
left = [1, 2, 3]
die = lambda _: os.kill(os.getpid(), 9)
database.insert = lambda table: (insert if left and left.pop() else die)(table)
run_command("make migrate", migrate.main)
"""


@pytest.fixture
def own(laptop: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The laptop's project as the working directory, with the administrator's variables."""
    stand_as_administrator(laptop, monkeypatch)
    return laptop.path


def execute(project: Path, statement: str) -> None:
    """Execute a statement in a laptop's database."""
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        database.execute(statement)


def count_rows(server: Team, table: str) -> int:
    """Return the number of rows of a table on the server."""
    ((count,),) = server.backends.sql(f"SELECT count(*) FROM {table}")
    return int(count)


def assert_nothing_was_copied(server: Team) -> None:
    assert count_rows(server, "runs") == 0
    assert server.backends.objects() == {}


@pytest.mark.usefixtures("own")
def test_server_that_cannot_be_used_is_one_message(server: Team, call: Caller) -> None:
    def message(url: str) -> str:
        return call.fail(migrate.main, "--to", url)

    assert "mlflow.example.org is not a server's URL" in message("mlflow.example.org")
    assert "does not answer" in message(f"http://127.0.0.1:{free_port()}")
    call.monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another one")
    assert "rejected the user name or password" in message(server.url)
    assert_nothing_was_copied(server)


@pytest.mark.usefixtures("own")
def test_database_that_is_not_the_servers_is_one_message(server: Team, call: Caller) -> None:
    def message(database: str) -> str:
        return call.fail(migrate.main, "--to", server.url, "--database", database)

    assert 'database "mlflow_s" does not exist' in message("postgresql:///mlflow_s")
    assert message("mlflow:sesame@host/mlflow").startswith("DATABASE is not the URL of a database.")
    assert "has no tables of MLflow" in message("postgresql:///mlflow_auth")
    server.backends.sql("CREATE DATABASE mlflow_s OWNER mlflow")
    copy = "pg_dump mlflow | psql mlflow_s"
    subprocess.run(copy, shell=True, check=True, capture_output=True)
    server.backends.sql("UPDATE experiments SET creation_time = 0", "mlflow_s")
    assert "uses another database than postgresql:///mlflow_s" in message("postgresql:///mlflow_s")
    server.backends.sql("UPDATE alembic_version SET version_num = '1'", "mlflow_s")
    assert "has version 1 of MLflow's schema" in message("postgresql:///mlflow_s")
    assert_nothing_was_copied(server)


def test_run_that_is_still_running_is_one_message(own: Path, server: Team, call: Caller) -> None:
    execute(own, "UPDATE runs SET status = 'RUNNING' WHERE name = 'trial 1'")
    message = call.fail(migrate.main, "--to", server.url)
    execute(own, "UPDATE runs SET status = 'FINISHED' WHERE name = 'trial 1'")
    assert "Still running: " in message
    assert_nothing_was_copied(server)


def test_killed_migration_leaves_no_row_and_the_next_one_completes_it(
    own: Path, laptop: Project, server: Team, call: Caller
) -> None:
    process = laptop.start("python", "-c", KILLED, "--to", server.url, DATABASE=DATABASE)
    process.communicate(timeout=300)
    assert process.returncode == -9
    assert count_rows(server, "runs") == count_rows(server, "metrics") == 0
    uploaded = server.backends.objects()
    (cut,) = (key for key in uploaded if key.endswith("a b.txt"))
    server.backends.s3_client().put_object(Bucket="mlflow", Key=cut, Body=b"no")
    result = call.json(migrate.main, "--to", server.url)
    assert result["equal"]
    assert result["copied"]["files"] == 1
    assert server.backends.objects() == uploaded
    logged = [path for path in own.glob("mlruns/**/*") if path.is_file()]
    assert result["files"] == len(uploaded) == len(logged)
    assert count_rows(server, "runs") == RUNS


def test_second_migration_copies_nothing_and_clients_see_the_same_on_both(
    migrated: Any, own: Path, server: Team
) -> None:
    assert migrated["equal"]
    assert migrated["copied"] == {"rows": 0, "files": 0}
    assert {"name": "runs", "here": RUNS, "there": RUNS} in migrated["tables"]
    here = history(mlflow.MlflowClient(f"sqlite:///{own}/mlflow.db"))
    assert here.count('"run_name"') == RUNS
    assert here == history(mlflow.MlflowClient(server.url))


@pytest.mark.usefixtures("migrated")
def test_new_run_is_copied_and_other_content_under_the_same_name_is_refused(
    own: Path, server: Team, call: Caller
) -> None:
    stand_in(own, call.monkeypatch)
    client = mlflow.MlflowClient()
    run_id = client.create_run(store.connect(), 1_600_000_000_000).info.run_id
    client.log_text(run_id, "new", "note.txt")
    client.set_terminated(run_id)
    result = call.json(migrate.main, "--to", server.url)
    assert result["equal"]
    assert result["copied"]["files"] == 1
    status = f"SELECT status FROM runs WHERE run_uuid = '{run_id}'"
    assert server.backends.sql(status) == [("FINISHED",)]

    params = count_rows(server, "params")
    objects = server.backends.objects()
    note = next(own.glob(f"mlruns/*/{run_id}/artifacts/note.txt"))
    note.write_text("NEW", encoding="utf-8")
    note.with_name("more.txt").touch()
    message = call.fail(migrate.main, "--to", server.url)
    assert "other files under the same path, so nothing was copied" in message
    assert message.endswith(f"{run_id}/artifacts/note.txt")

    execute(own, "UPDATE params SET value = 'new' WHERE key = 'train.units' AND value = '5'")
    execute(own, "UPDATE model_versions SET run_id = 'another' WHERE version = 3")
    message = call.fail(migrate.main, "--to", server.url)
    assert "so nothing was copied:" in message
    assert "\n  params: train.units, " in message
    assert "synthetic-sentiment, 3" in message
    assert count_rows(server, "params") == params
    assert server.backends.objects() == objects
