"""A team on a server: migrating, training, logging, promoting, sharing data and maintaining.

The tests run in the order in which they stand. The first four need a server without a run; the
fourth copies the laptop's runs to it.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run, ViewType

from extras.team import migrate
from stages import evaluate
from tests.conftest import Caller, run_stages, stand_in
from tests.extras.documented import documented
from tests.extras.team.conftest import DATABASE, RUNS, stand_as_administrator
from tests.extras.team.history import history
from tests.extras.team.servers import (
    MARK,
    PAGE,
    Team,
    backends,
    documented_variables,
    password,
    run_documented,
    serving,
)
from tests.extras.test_listening import look
from tests.project import MODEL, Project, free_port
from tools import demote, promote, sync
from workflow import files, outputs, store
from workflow.params import load_params
from workflow.store import EXPERIMENT
from workflow.tracking import TRAINING_ID

pytestmark = pytest.mark.slow
RAN = "Running stage"
REPRO = ("python", "-m", "tools.repro")
SYNC = ("python", "-m", "tools.sync")
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


@pytest.fixture(scope="module")
def experiment_id(migrated: Any, server: Team) -> str:
    """The migrated experiment, which Alice and Bob may edit since."""
    assert migrated["equal"]
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = str(server.request("GET", path)["experiment"]["experiment_id"])
    for name in ("alice", "bob"):
        server.grant(name, "EDIT", experiment=experiment, registered_model=MODEL)
    return experiment


@pytest.fixture(scope="module")
def alice(
    experiment_id: str, laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The project on Alice's machine after a training of hers, which is committed.

    Her password is in the server's URL. During the training, another secret was in her DVC
    configuration. The file `output` next to the project has what the stages printed.
    """
    assert experiment_id
    project = Project(tmp_path_factory.mktemp("alice") / "project")
    shutil.copytree(laptop.path, project.path, symlinks=True, ignore=lambda *_: ["mlflow.db"])
    host = server.url.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://alice:{password('alice')}@{host}"
    project.change(train={"seed": 7})
    project.run("dvc", "remote", "add", "own", f"https://me:{MARK}@data.example/")
    output = run_stages(project, MLFLOW_TRACKING_URI=project.environment["MLFLOW_TRACKING_URI"])
    project.path.with_name("output").write_text(output, encoding="utf-8")
    project.run("git", "checkout", "--", ".dvc/config")  # where the user wrote it
    project.commit()
    return project


@pytest.fixture
def client(server: Team, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """The administrator's client."""
    for name, value in {**server.user("admin"), "MLFLOW_HTTP_REQUEST_TIMEOUT": "300"}.items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.url)


def find_run(project: Project, experiment_id: str, client: mlflow.MlflowClient) -> Run:
    """Return the run on the server that has the training in `data/`."""
    training_id = outputs.read_run_record(project.path / "data" / "train").training_id
    (run,) = client.search_runs([experiment_id], f"tags.`{TRAINING_ID}` = '{training_id}'")
    return run


@pytest.fixture
def alices_run(alice: Project, experiment_id: str, client: mlflow.MlflowClient) -> Run:
    return find_run(alice, experiment_id, client)


def test_training_is_logged_and_tested_against_the_migrated_champion(
    alice: Project, alices_run: Run, client: mlflow.MlflowClient
) -> None:
    assert alices_run.info.status == "FINISHED"
    assert alices_run.data.tags["mlflow.user"] == "alice"
    assert {"accuracy", "test_accuracy"} <= alices_run.data.metrics.keys()
    assert alices_run.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {item.path for item in client.list_artifacts(alices_run.info.run_id)}
    assert {"train", "evaluate", "versions"} <= names
    output = alice.path.with_name("output").read_text(encoding="utf-8")
    assert f"of {MODEL} is not promoted: not shown to be better than the champion" in output
    (version,) = client.search_model_versions(f"run_id = '{alices_run.info.run_id}'")
    assert version.tags["promote.reason"].endswith("(the champion: version 1)")


def test_user_who_may_edit_promotes_and_demotes_but_does_not_delete_the_alias(
    alice: Project, alices_run: Run, server: Team, client: mlflow.MlflowClient, call: Caller
) -> None:
    """MLflow counts it as deleting to take the alias away for good."""
    run_id = alices_run.info.run_id
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    call.monkeypatch.chdir(alice.path)
    promoted = call.json(promote.main, "--run", run_id, **server.user("alice"))
    assert promoted["champion"] == str(version.version)
    assert call.json(demote.main)["champion"] == "1"
    assert "does not let alice do this" in call.fail(demote.main)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.decision"] == "champion"


def test_user_who_may_only_read_cannot_promote_and_is_told_so(
    alice: Project, alices_run: Run, server: Team, client: mlflow.MlflowClient, call: Caller
) -> None:
    call.monkeypatch.chdir(alice.path)
    run_id = alices_run.info.run_id
    message = call.fail(promote.main, "--run", run_id, **server.user("reader"))
    assert message.startswith(f"The MLflow server at {server.url} does not let reader do this.")
    assert client.get_model_version_by_alias(MODEL, "champion").version == "1"


def test_wrong_password_is_one_message(alice: Project, server: Team, call: Caller) -> None:
    call.monkeypatch.chdir(alice.path)
    for name, value in server.user("alice").items():
        call.monkeypatch.setenv(name, value)
    call.monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password("bob"))
    for main in (sync.main, demote.main):
        message = call.fail(main)
        assert message.startswith(
            f"The MLflow server at {server.url} rejected the user name or password."
        )


def test_server_listens_on_the_loopback_and_no_secret_leaves_the_environment(
    alice: Project, alices_run: Run, server: Team, tmp_path: Path, call: Caller
) -> None:
    """No secret is in arguments, on the laptop, in the server's databases or in its bucket."""
    seen = look(server.processes[-1])
    assert {*seen.addresses} == {"127.0.0.1"}
    assert [argument for argument in seen.arguments if MARK in argument] == []
    project = alice.copy(tmp_path / "project")
    project.environment = alice.environment
    output = alice.path.with_name("output").read_text(encoding="utf-8") + project.run(*SYNC)
    call.monkeypatch.chdir(project.path)
    output += call.fail(sync.main, MLFLOW_TRACKING_URI=f"http://b:{MARK}@127.0.0.1:1")
    assert MARK not in output
    assert "git.uncommitted_changes" in alices_run.data.tags
    shutil.rmtree(project.path / "tests")  # these contain it
    shutil.rmtree(project.path / ".git")
    written = project.contents(".")
    assert [name for name, content in written.items() if MARK.encode() in content] == []
    dump = b"".join(
        subprocess.run(
            ["pg_dump", "--data-only", database],
            env=server.backends.environment,
            capture_output=True,
            check=True,
        ).stdout
        for database in ("mlflow", "mlflow_auth")
    )
    assert alices_run.info.run_id.encode() in dump
    assert MARK.encode() not in dump
    objects = server.backends.objects()
    assert [key for key, content in objects.items() if MARK.encode() in content] == []


@pytest.fixture(scope="module")
def bob(alice: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Bob's clone of Alice's project after `make repro`. They share data as `PAGE` says.

    The file `output` next to the project has what the command printed.
    """
    folder = tmp_path_factory.mktemp("bob")
    hub = folder / "hub.git"
    project = Project(folder / "project")
    names = documented_variables("## The data")
    store = {name: server.backends.environment[name] for name in (*names, "PATH")}
    alice.environment |= store
    project.environment |= {**store, **server.user("bob")}
    alice.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(hub))
    alice.run("git", "branch", "--move", "main")
    alice.run("git", "remote", "add", "origin", str(hub))
    run_documented("Once, for everyone:", alice.path, alice.environment)
    alice.run("git", "push", "--set-upstream", "origin", "main")
    run_documented("After a training, commit, and share it:", alice.path, alice.environment)
    alice.run("git", "clone", "--quiet", str(hub), str(project.path))
    project.path.with_name("output").write_text(project.run(*REPRO), encoding="utf-8")
    return project


def test_second_user_gets_data_from_the_store_and_the_run_from_the_server(
    alice: Project, bob: Project, experiment_id: str, client: mlflow.MlflowClient
) -> None:
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    assert "Outputs are pulled from the DVC remote shared if it has them." in output
    assert RAN not in output
    for folder in ("data/train", "data/evaluate", "data/pad"):
        assert bob.contents(folder) == alice.contents(folder)
    assert find_run(bob, experiment_id, client).data.tags["mlflow.user"] == "alice"
    assert not (bob.path / "mlflow.db").exists()


def test_conflict_in_dvc_lock_is_resolved_as_documented(
    alice: Project, bob: Project, server: Team, experiment_id: str, client: mlflow.MlflowClient
) -> None:
    alice.change(evaluate={"threshold": 0.4})
    bob.change(evaluate={"mistakes": 3})
    for name, person in (("alice", alice), ("bob", bob)):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(person.path)
            Caller(patch)(evaluate.main, **server.user(name))
        person.run("dvc", "commit", "--force", "evaluate")
        person.commit()
    alice.run("git", "push")  # without `dvc push`: what the remote lacks is run
    assert "CONFLICT" in bob.fail("git", "pull", "--no-rebase")
    checkout, repro, *commit = documented(PAGE, "### A conflict in dvc.lock")
    assert repro == "make repro"
    bob.run("bash", "-ec", checkout)
    output = bob.run(*REPRO)
    assert f"{RAN} 'evaluate'" in output
    assert f"{RAN} 'train'" not in output
    assert MARK not in output
    bob.run("bash", "-ec", "\n".join(commit))
    run_documented("After a training, commit, and share it:", bob.path, bob.environment)

    alice.run("git", "pull", "--quiet")
    assert RAN not in alice.run(*REPRO)
    assert alice.contents("data/evaluate") == bob.contents("data/evaluate")
    params = load_params(alice.path / "params.yaml").evaluate
    assert (params.threshold, params.mistakes) == (0.4, 3)
    evaluated = files.read_json(alice.path / "data" / "evaluate" / "metrics.json")
    run = find_run(alice, experiment_id, client)
    assert run.data.metrics["test_accuracy"] == pytest.approx(evaluated["test_accuracy"])


@pytest.fixture(scope="module")
def restored(
    experiment_id: str, server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """A second server, restored from a backup of the first one."""
    assert experiment_id
    with backends(tmp_path_factory.mktemp("restored")) as standing:
        run_documented("**Backup.**", standing.folder, server.backends.environment)
        run_documented("**Restore.**", standing.folder, standing.environment)
        with serving(standing) as second:
            yield second


def test_restored_server_has_the_same_history_files_and_users(
    restored: Team, server: Team, client: mlflow.MlflowClient
) -> None:
    assert history(mlflow.MlflowClient(restored.url)) == history(client)
    assert restored.backends.objects() == server.backends.objects()
    users = "2.0/mlflow/users/get?username=alice"
    assert restored.request("GET", users) == server.request("GET", users)


@pytest.mark.usefixtures("client")
def test_gc_removes_deleted_runs(restored: Team, experiment_id: str) -> None:
    def count(view: int) -> int:
        return len(mlflow.MlflowClient(restored.url).search_runs([experiment_id], "", view))

    active = count(ViewType.ACTIVE_ONLY)
    assert count(ViewType.DELETED_ONLY) > 0
    *exports, gc = documented(PAGE, "**Deleted runs**")
    assert len(exports) == 2
    environment = {**restored.backends.environment, **restored.user("admin")}
    subprocess.run(["bash", "-ec", gc], env=environment, check=True, cwd=restored.backends.folder)
    assert count(ViewType.DELETED_ONLY) == 0
    assert count(ViewType.ACTIVE_ONLY) == active
