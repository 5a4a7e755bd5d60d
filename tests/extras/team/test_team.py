"""A team: every command on the server that `make server` starts, and what each user may do."""

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.entities import Metric

from tests.extras.conftest import SWEEP_SETTINGS
from tests.extras.documented import documented
from tests.extras.team.servers import (
    BUCKET,
    DATABASE_PASSWORD,
    MARK,
    Team,
    password,
    run_documented,
    team,
)
from tests.extras.test_listening import look
from tests.object_store import client as object_client
from tests.project import MODEL, Project, free_port, module_of, wait_for
from tests.services import proxy
from tests.stages.test_survival import begin
from workflow import files
from workflow.runs.store import EXPERIMENT

TOOL = ("python", "-m")
REPRO = ("dvc", "repro")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team")) as found:
        yield found


@pytest.fixture(scope="module")
def alice(server: Team, finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project that Alice trained at the server, where her model is champion."""
    project = finished.copy(tmp_path_factory.mktemp("alice") / "project")
    project.environment |= server.user("alice")
    output = project.run(*REPRO, "--force")
    assert f"Version 1 of {MODEL}: champion, there was no champion" in output
    project.commit()
    allow(server, "bob")
    return project


def allow(server: Team, user: str) -> None:
    """Let a user change the project's experiment and its registered model."""
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = server.ask("GET", path)["experiment"]["experiment_id"]
    for kind, name in (("experiment", experiment), ("registered_model", MODEL)):
        grant = {"username": user, "resource_type": kind, "resource_id": name, "permission": "EDIT"}
        server.ask("POST", "3.0/mlflow/users/permissions/grant", **grant)


@pytest.fixture(scope="module")
def bob(alice: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project on Bob's machine, which has no store of its own, after a training of his.

    What the command printed is in the file `output` beside it.
    """
    project = member(alice, server, "bob", tmp_path_factory.mktemp("bob"))
    project.change(train={"seed": 7})
    project.path.with_name("output").write_text(project.run(*REPRO), encoding="utf-8")
    project.commit()
    return project


def member(alice: Project, server: Team, name: str, folder: Path) -> Project:
    """A copy of the project on another user's machine."""
    project = alice.copy(folder / "project")
    (project.path / "mlflow.db").unlink()
    project.environment |= server.user(name)
    return project


@pytest.fixture
def client(server: Team, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """The administrator's client."""
    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.address)


def run_id_of(project: Project) -> str:
    """The run that made `data/`."""
    return str(files.read_json(project.path / "data/train/run.json")["run_id"])


def document(project: Project, tool: str, *options: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    found: dict[str, Any] = json.loads(project.read(*TOOL, module_of(tool), *options, "--json"))
    return found


def test_the_server_listens_where_its_settings_say_and_no_argument_is_a_secret(
    server: Team,
) -> None:
    seen = look(server.processes[-1])
    assert {*seen.addresses} == {"127.0.0.1"}
    assert [each for each in seen.arguments if MARK in each] == []


def test_repro_has_all_of_a_run_on_the_server(alice: Project, client: mlflow.MlflowClient) -> None:
    run = client.get_run(run_id_of(alice))
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.user"] == "alice"
    assert {"accuracy", "test_accuracy"} <= run.data.metrics.keys()
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"train", "evaluate", "versions"} <= names


def test_another_user_s_run_stands_beside_it_and_is_tested_against_the_champion(
    bob: Project, alice: Project, client: mlflow.MlflowClient
) -> None:
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    assert f"of {MODEL}: not promoted, not shown to be better than the champion" in output
    run = client.get_run(run_id_of(bob))
    assert run.data.tags["mlflow.user"] == "bob"
    assert run.info.experiment_id == client.get_run(run_id_of(alice)).info.experiment_id
    (version,) = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert version.tags["promote.reason"].endswith("(the champion: version 1)")


def test_sync_finds_the_run(bob: Project) -> None:
    assert document(bob, "sync")["run_id"] == run_id_of(bob)


def test_compare_reads_both_users_runs_and_logs_to_them(
    bob: Project, alice: Project, client: mlflow.MlflowClient
) -> None:
    found = document(bob, "compare")
    assert (found["a"]["run_id"], found["b"]["run_id"]) == (run_id_of(alice), run_id_of(bob))
    for run_id in (run_id_of(alice), run_id_of(bob)):
        assert client.list_artifacts(run_id, "compare")


def test_report_is_in_the_run(bob: Project, client: mlflow.MlflowClient) -> None:
    bob.run(*TOOL, "extras.compare.report")
    assert client.list_artifacts(run_id_of(bob), "report")


def test_predict_asks_the_champion(bob: Project) -> None:
    assert 0 < document(bob, "predict", "--text", "fine")["probability"] < 1


def test_the_champion_is_changed_by_hand_and_given_back(
    bob: Project, client: mlflow.MlflowClient
) -> None:
    (version,) = client.search_model_versions(f"run_id = '{run_id_of(bob)}'")
    promoted = document(bob, "promote", "--run", run_id_of(bob))
    assert promoted["champion"] == str(version.version)
    assert document(bob, "demote")["champion"] == "1"


def test_who_may_not_delete_cannot_take_the_alias_from_the_only_champion(
    bob: Project, client: mlflow.MlflowClient
) -> None:
    """MLflow counts that as deleting; the version says nothing that is not so."""
    assert "does not let bob do this" in bob.fail(*TOOL, "tools.demote")
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.decision"] == "champion"


def test_seeds_are_one_group_on_the_server(bob: Project, client: mlflow.MlflowClient) -> None:
    found = document(bob, "seeds", "--count", "2")
    parent = client.get_run(found["run_id"])
    assert parent.data.metrics.keys() >= {"test_accuracy_mean"}
    assert len(found["trainings"]) == 2


def test_an_ensemble_is_made_from_runs_on_the_server(bob: Project, alice: Project) -> None:
    found = document(bob, "ensemble", "--runs", f"{run_id_of(alice)} {run_id_of(bob)}")
    assert list(found["weights"].values()) == [0.5, 0.5]


def test_a_sweep_logs_its_trials_to_the_server(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    project = member(alice, server, "bob", tmp_path)
    project.change(sweep=SWEEP_SETTINGS)
    project.run("git", "commit", "--all", "--quiet", "--message", "space")
    found = document(project, "sweep", "--trials", "2", "--workers", "1")
    parent = client.get_run(found["run_id"])
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    assert len(client.search_runs([parent.info.experiment_id], query)) >= 2


@pytest.mark.parametrize(("tool", "variable", "health"), [
    ("serve", "SERVE_PORT", "health"),
    ("demo", "DEMO_PORT", "_stcore/health"),
])  # fmt: skip
def test_servers_of_the_champion_take_it_from_the_server(
    bob: Project, tool: str, variable: str, health: str
) -> None:
    port = free_port()
    process = bob.start(*TOOL, module_of(tool), **{variable: str(port)})
    try:
        wait_for(f"http://127.0.0.1:{port}/{health}")
        if tool == "serve":
            answer = requests.post(
                f"http://127.0.0.1:{port}/invocations",
                json={"dataframe_records": [{"text": "fine"}]},
                timeout=30,
            )
            assert answer.json()["predictions"][0]["label"] in ("positive", "negative")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.usefixtures("alice")  # whose experiment is the first
def test_twenty_trainings_that_log_at_once_do_not_wait_for_each_other_for_ever(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    experiment = client.create_experiment("rush")
    run_ids = [client.create_run(experiment).info.run_id for _ in range(20)]

    def log(run_id: str) -> None:
        for step in range(20):
            client.log_batch(run_id, [Metric("loss", 1.0, 0, step)])

    with ThreadPoolExecutor(len(run_ids)) as pool:
        list(pool.map(log, run_ids))  # what waited for 30 seconds would raise
    for run_id in run_ids:
        assert len(client.get_metric_history(run_id, "loss")) == 20


def test_a_model_is_evaluated_on_other_texts(bob: Project, client: mlflow.MlflowClient) -> None:
    made = document(bob, "evaluate", "--file", "data/example.csv")
    run = client.get_run(made["run_id"])
    assert run.data.tags["mlflow.user"] == "bob"
    assert run.data.metrics["test_accuracy"] == pytest.approx(made["metrics"]["accuracy"]["here"])
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert run.data.tags["evaluation.of"] == champion.run_id


def test_deleted_runs_are_removed_with_their_files_as_the_docs_say(
    alice: Project, server: Team, client: mlflow.MlflowClient
) -> None:
    kept = client.get_run(run_id_of(alice))
    deleted = client.create_run(kept.info.experiment_id).info.run_id
    client.log_text(deleted, "of a deleted run", "note.txt")
    client.delete_run(deleted)
    assert keys(server, deleted)
    found = server.parts
    address = found.settings["runs"].rpartition("/")[0]
    instead = {
        "postgresql://mlflow@127.0.0.1:5432": address,
        "https://mlflow.example.org": server.address,
    }
    run_documented("**Deleted runs**", found.environment | server.user("admin"), instead=instead)
    assert keys(server, deleted) == []
    with pytest.raises(mlflow.exceptions.MlflowException, match="not found"):
        client.get_run(deleted)
    assert keys(server, run_id_of(alice))
    assert client.get_run(run_id_of(alice)).data.metrics == kept.data.metrics


def test_a_proxy_with_tls_stands_before_it_as_the_docs_say(
    bob: Project, server: Team, tmp_path: Path
) -> None:
    port = free_port()
    site = "\n".join(documented("**TLS.**"))
    for there, here in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("http://127.0.0.1:5000", server.address),
        ("/etc/ssl/mlflow", str(tmp_path)),
    ):
        assert there in site
        site = site.replace(there, here)
    project = bob.copy(tmp_path / "project")
    project.environment |= server.user("bob") | {
        "MLFLOW_TRACKING_URI": f"https://127.0.0.1:{port}",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(tmp_path / "certificate.pem"),
    }
    with proxy(tmp_path, site, port):
        output = project.run(*TOOL, "tools.sync")
        assert f"https://127.0.0.1:{port}/#/experiments/" in output
        code = (
            "import mlflow, numpy; mlflow.set_experiment('imdb-lstm'); run = mlflow.start_run(); "
            "numpy.save('large.npy', numpy.random.bytes(60_000_000)); "
            "mlflow.log_artifact('large.npy'); mlflow.end_run(); "
            "got = mlflow.artifacts.download_artifacts(f'runs:/{run.info.run_id}/large.npy'); "
            "assert open(got, 'rb').read() == open('large.npy', 'rb').read(); print('same')"
        )
        assert "same" in project.run("python", "-c", code)


def keys(server: Team, run_id: str) -> list[str]:
    """The files of a run in the bucket."""
    pages = object_client(server.parts.store.environment).get_paginator("list_objects_v2")
    found = [each["Key"] for page in pages.paginate(Bucket=BUCKET) for each in page["Contents"]]
    return [key for key in found if run_id in key]


def test_who_may_only_read_trains_all_the_same_and_sync_logs_it_later(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    project = member(alice, server, "reader", tmp_path)
    before = len(client.search_runs(["1"]))
    project.change(train={"seed": 8})
    output = project.run(*REPRO)
    assert output.count("does not let reader do this") == 1
    assert "`make sync`" in output
    assert "Traceback" not in output
    assert "does not let reader do this" in project.fail(*TOOL, "tools.sync")
    assert len(client.search_runs(["1"])) == before
    project.environment |= server.user("bob")
    project.run(*TOOL, "tools.sync")
    (run,) = client.search_runs(["1"], f"tags.restored_from = '{run_id_of(project)}'")
    assert {"accuracy", "test_accuracy"} <= run.data.metrics.keys()


def test_a_wrong_password_is_one_message(alice: Project, server: Team, tmp_path: Path) -> None:
    project = member(alice, server, "bob", tmp_path)
    project.environment["MLFLOW_TRACKING_PASSWORD"] = f"{MARK}-but-another"
    before = project.contents("data")
    project.change(train={"seed": 9})
    output = project.fail(*REPRO)
    assert "does not know bob by this password" in output
    assert "Traceback" not in output
    assert MARK not in output
    assert project.contents("data") == before


def test_a_password_that_is_changed_meanwhile_costs_no_epoch(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    """What is logged before is kept, and the rest is logged with the new one."""
    project = member(alice, server, "bob", tmp_path)
    training = begin(project, Project.start)
    change_password(server, f"{MARK}-of-bob-2")
    try:
        output, _ = training.communicate(timeout=240)
        assert training.returncode == 0, output
        assert output.count("does not know bob by this password") == 2  # train, evaluate
        assert MARK not in output
        project.environment["MLFLOW_TRACKING_PASSWORD"] = f"{MARK}-of-bob-2"
        project.run(*TOOL, "tools.sync")
    finally:
        change_password(server, password("bob"))
    run = client.get_run(run_id_of(project))
    assert len(client.get_metric_history(run.info.run_id, "loss")) == len(
        (project.path / "data/train/history.csv").read_text(encoding="utf-8").splitlines()[1:]
    )
    assert "test_accuracy" in run.data.metrics


def change_password(server: Team, secret: str) -> None:
    server.ask("PATCH", "2.0/mlflow/users/update-password", username="bob", password=secret)


def secret_places(folder: Path) -> list[str]:
    """Files below a folder that have a secret in them, but for the tests, which name them."""
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if inside.parts[0] != "tests" and path.is_file() and MARK.encode() in path.read_bytes():
            found.append(str(inside))
    return found


def test_a_backup_is_restored_as_the_docs_say(alice: Project, server: Team, tmp_path: Path) -> None:
    found, asked = server.parts, ("--text", "a fine film, and a dull one")
    before = document(alice, "predict", *asked)
    address = found.settings["runs"].rpartition("/")[0]
    instead = {"postgresql://mlflow@127.0.0.1:5432": address, "/backup": str(tmp_path)}
    environment = {**found.environment, "HOME": str(tmp_path)}
    with chdir(tmp_path):
        run_documented("**Backup.**", environment, instead=instead)
        server.stop()
        for name in ("mlflow", "mlflow_auth"):
            found.sql(f"DROP DATABASE {name}")
            found.sql(f"CREATE DATABASE {name} OWNER mlflow")
        empty(found.store.environment)
        run_documented("**Restore.**", environment, instead=instead)
        server.start()
    assert document(alice, "predict", *asked) == before
    assert document(alice, "sync")["run_id"] == run_id_of(alice)
    assert document(alice, "verify")["differing"] == []


def empty(environment: dict[str, str]) -> None:
    """Remove all files of the server."""
    s3 = object_client(environment)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page["Contents"]:
            s3.delete_object(Bucket=BUCKET, Key=each["Key"])


def test_no_secret_is_in_what_a_run_wrote(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    """Not on the laptop, in the server's databases or its bucket, also from addresses."""
    project = member(alice, server, "bob", tmp_path)
    host = server.address.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://bob:{password('bob')}@{host}"
    for name in ("USERNAME", "PASSWORD"):
        del project.environment[f"MLFLOW_TRACKING_{name}"]
    project.change(train={"seed": 10})
    project.run("dvc", "remote", "add", "shared", f"https://me:{MARK}@data.example/")
    output = project.run(*REPRO)
    for tool in ("sync", "report", "compare"):
        output += project.run(*TOOL, module_of(tool))
    output += project.fail(*REPRO, "--force", MLFLOW_TRACKING_URI=f"http://b:{MARK}@127.0.0.1:1")
    assert MARK not in output
    run = client.get_run(run_id_of(project))
    assert "git.uncommitted_changes" in run.data.tags
    assert run.data.tags["mlflow.user"] == "bob"
    project.run("git", "checkout", "--", ".dvc/config")  # where the user wrote it
    assert secret_places(project.path) == []
    dump = subprocess.run(
        ["pg_dumpall", "--dbname", server.parts.settings["runs"], "--data-only"],
        env={**project.environment, "PGPASSWORD": DATABASE_PASSWORD},
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert run.info.run_id.encode() in dump
    assert MARK.encode() not in dump
    s3 = object_client(server.parts.store.environment)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page["Contents"]:
            content = s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            assert MARK.encode() not in content, each["Key"]
