"""A team: every command on the server that `make server` starts, and what each user may do."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import requests
from mlflow.entities import Metric

from tests.extras.documented import documented
from tests.extras.team.servers import (
    DATABASE_PASSWORD,
    MARK,
    Parts,
    Team,
    password,
    run_documented,
    serving,
)
from tests.extras.test_listening import look
from tests.object_store import client as object_client
from tests.project import EPOCHS, MODEL, Project, free_port, until, wait_for
from tests.services import proxy
from workflow import files
from workflow.runs.store import EXPERIMENT

REPRO = ("dvc", "repro")
SYNC = ("python", "-m", "tools.sync")


@pytest.fixture(scope="module")
def server(processes: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with serving(processes, tmp_path_factory.mktemp("team")) as started:
        yield started


@pytest.fixture(scope="module")
def alice(server: Team, finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project that Alice trained at the server, where her model is champion."""
    project = finished.copy(tmp_path_factory.mktemp("alice") / "project")
    project.environment |= server.user("alice")
    project.change(train={"seed": 6})
    output = project.run(*REPRO)
    assert f"Version 1 of {MODEL}: champion, there was no champion" in output
    project.commit()
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = server.ask("GET", path)["experiment"]["experiment_id"]
    for kind, name in (("experiment", experiment), ("registered_model", MODEL)):
        right = {"resource_type": kind, "resource_id": name, "permission": "EDIT"}
        server.ask("POST", "3.0/mlflow/users/permissions/grant", username="bob", **right)
    return project


@pytest.fixture(scope="module")
def bob(alice: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project on Bob's machine, who may change what Alice made, after a training of his.

    His password is in the server's address, and another secret was in his configuration of DVC
    meanwhile. What the command printed is in the file `output` beside the project.
    """
    project = member(alice, server, "bob", tmp_path_factory.mktemp("bob"))
    host = server.address.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://bob:{password('bob')}@{host}"
    for name in ("USERNAME", "PASSWORD"):
        del project.environment[f"MLFLOW_TRACKING_{name}"]
    project.change(train={"seed": 7})
    project.run("dvc", "remote", "add", "shared", f"https://me:{MARK}@data.example/")
    project.path.with_name("output").write_text(project.run(*REPRO), encoding="utf-8")
    project.run("git", "checkout", "--", ".dvc/config")  # where the user wrote it
    project.commit()
    return project


def member(alice: Project, server: Team, name: str, folder: Path) -> Project:
    """A copy of the project on another user's machine, which has no store of its own."""
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


def document(project: Project, module: str, *options: str) -> dict[str, Any]:
    """What a command prints as JSON, in which there is no secret."""
    output = project.read("python", "-m", module, *options, "--json")
    assert MARK not in output
    result: dict[str, Any] = json.loads(output)
    return result


def assert_closed(process: "subprocess.Popen[Any]") -> None:
    """A server listens on the loopback alone, and no argument of its processes is a secret."""
    seen = look(process)
    assert {*seen.addresses} == {"127.0.0.1"}
    assert [argument for argument in seen.arguments if MARK in argument] == []


def test_the_server_listens_where_its_settings_say_and_no_argument_is_a_secret(
    server: Team,
) -> None:
    assert_closed(server.processes[-1])


def test_both_users_runs_stand_beside_each_other_and_are_tested_against_one_champion(
    alice: Project, bob: Project, client: mlflow.MlflowClient
) -> None:
    first, second = (client.get_run(run_id_of(project)) for project in (alice, bob))
    assert [run.data.tags["mlflow.user"] for run in (first, second)] == ["alice", "bob"]
    assert first.info.status == "FINISHED"
    assert first.info.experiment_id == second.info.experiment_id
    assert {"accuracy", "test_accuracy"} <= first.data.metrics.keys()
    assert first.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {item.path for item in client.list_artifacts(first.info.run_id)}
    assert {"train", "evaluate", "versions"} <= names
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    assert f"of {MODEL}: not promoted, not shown to be better than the champion" in output
    (version,) = client.search_model_versions(f"run_id = '{second.info.run_id}'")
    assert version.tags["promote.reason"].endswith("(the champion: version 1)")


def test_sync_compare_report_and_predict_use_the_server(
    alice: Project, bob: Project, client: mlflow.MlflowClient
) -> None:
    assert document(bob, "tools.sync")["run_id"] == run_id_of(bob)
    compared = document(bob, "extras.compare")
    assert (compared["a"]["run_id"], compared["b"]["run_id"]) == (run_id_of(alice), run_id_of(bob))
    assert all(client.list_artifacts(run_id_of(project), "compare") for project in (alice, bob))
    assert MARK not in bob.run("python", "-m", "extras.compare.report")
    assert client.list_artifacts(run_id_of(bob), "report")
    assert 0 < document(bob, "tools.predict", "--text", "fine")["probability"] < 1


def test_a_backup_is_restored_as_the_docs_say(alice: Project, server: Team, tmp_path: Path) -> None:
    standing, text = server.parts, ("--text", "a fine film, and a dull one")
    before = document(alice, "tools.predict", *text)
    instead = {**documented_database(server), "/backup": str(tmp_path)}
    environment = {**standing.environment, "HOME": str(tmp_path)}
    with chdir(tmp_path):
        run_documented("**Backup.**", environment, instead)
        server.stop()
        for name in ("mlflow", "mlflow_auth"):
            standing.sql(f"DROP DATABASE {name}")
            standing.sql(f"CREATE DATABASE {name} OWNER mlflow")
        for key in standing.objects():
            object_client(standing.store.environment).delete_object(Bucket="mlflow", Key=key)
        run_documented("**Restore.**", environment, instead)
        server.start()
    assert document(alice, "tools.predict", *text) == before
    assert document(alice, "tools.sync")["run_id"] == run_id_of(alice)


def documented_database(server: Team) -> dict[str, str]:
    """The address of the databases in place of that in the docs."""
    address = server.parts.settings["runs"].rpartition("/")[0]
    return {"postgresql://mlflow@127.0.0.1:5432": address}


def test_the_champion_is_changed_by_hand_and_given_back_but_not_deleted_without_the_right(
    bob: Project, client: mlflow.MlflowClient
) -> None:
    """MLflow counts it as deleting to take the alias away for good."""
    (version,) = client.search_model_versions(f"run_id = '{run_id_of(bob)}'")
    promoted = document(bob, "tools.promote", "--run", run_id_of(bob))
    assert promoted["champion"] == str(version.version)
    assert document(bob, "tools.demote")["champion"] == "1"
    assert "does not let bob do this" in bob.fail("python", "-m", "tools.demote")
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.decision"] == "champion"  # nothing that is not so


def test_seeds_ensembles_and_evaluations_of_other_texts_are_runs_on_the_server(
    alice: Project, bob: Project, client: mlflow.MlflowClient
) -> None:
    group = document(bob, "extras.seeds", "--count", "2")
    assert "test_accuracy_mean" in client.get_run(group["run_id"]).data.metrics
    members = f"{run_id_of(alice)} {run_id_of(bob)}"
    ensemble = document(bob, "extras.ensemble", "--runs", members)
    assert list(ensemble["weights"].values()) == [0.5, 0.5]
    evaluated = document(bob, "extras.evaluate_file", "--file", "data/example.csv")
    run = client.get_run(evaluated["run_id"])
    assert run.data.tags["mlflow.user"] == "bob"
    accuracy = evaluated["metrics"]["accuracy"]["here"]
    assert run.data.metrics["test_accuracy"] == pytest.approx(accuracy)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert run.data.tags["evaluation.of"] == champion.run_id


@pytest.mark.parametrize(("module", "variable", "health"), [
    ("tools.serve", "SERVE_PORT", "health"),
    ("extras.demo", "DEMO_PORT", "_stcore/health"),
])  # fmt: skip
def test_servers_of_the_champion_take_it_from_the_server_and_listen_on_the_loopback(
    bob: Project, module: str, variable: str, health: str
) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = bob.start("python", "-m", module, **{variable: str(port)})
    try:
        wait_for(f"{address}/{health}")
        assert_closed(process)
        if module == "tools.serve":
            body = {"dataframe_records": [{"text": "fine"}]}
            answer = requests.post(f"{address}/invocations", json=body, timeout=30)
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
        for step in range(10):
            client.log_batch(run_id, [Metric("loss", 1.0, 0, step)])

    with ThreadPoolExecutor(len(run_ids)) as pool:
        list(pool.map(log, run_ids))  # what waited for 30 seconds would raise
    assert all(len(client.get_metric_history(run_id, "loss")) == 10 for run_id in run_ids)


def test_deleted_runs_are_removed_with_their_files_as_the_docs_say(
    alice: Project, server: Team, client: mlflow.MlflowClient
) -> None:
    kept = client.get_run(run_id_of(alice))
    deleted = client.create_run(kept.info.experiment_id).info.run_id
    client.log_text(deleted, "of a deleted run", "note.txt")
    client.delete_run(deleted)
    before = server.parts.objects()
    assert any(deleted in key for key in before)
    instead = {**documented_database(server), "https://mlflow.example.org": server.address}
    environment = server.parts.environment | server.user("admin")
    run_documented("**Deleted runs**", environment, instead)
    after = {key: file for key, file in before.items() if deleted not in key}
    assert server.parts.objects() == after
    with pytest.raises(mlflow.exceptions.MlflowException, match="not found"):
        client.get_run(deleted)
    assert client.get_run(run_id_of(alice)).data.metrics == kept.data.metrics


@pytest.mark.usefixtures("client")
def test_a_proxy_with_tls_stands_before_it_as_the_docs_say(
    bob: Project, server: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate = free_port(), f"{tmp_path}/certificate.pem"
    address = f"https://127.0.0.1:{port}"
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
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": certificate,
    }
    large, returned = tmp_path / "large", tmp_path / "returned"
    large.write_bytes(bytes(range(250)) * 40_000)
    returned.mkdir()
    with proxy(tmp_path, site, port):
        assert f"{address}/#/experiments/" in project.run(*SYNC)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", certificate)
        client = mlflow.MlflowClient(address)
        run_id = client.create_run("1").info.run_id
        client.log_artifact(run_id, str(large))
        client.download_artifacts(run_id, "large", str(returned))
    assert (returned / "large").read_bytes() == large.read_bytes()


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
    assert "does not let reader do this" in project.fail(*SYNC)
    assert len(client.search_runs(["1"])) == before
    project.environment |= server.user("bob")
    project.run(*SYNC)
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


def test_a_password_that_is_changed_in_a_training_costs_no_epoch(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    project = member(alice, server, "bob", tmp_path)
    project.change(train={"epochs": EPOCHS, "seed": 10})
    training = project.start(*REPRO)
    until(lambda: [*project.path.glob(".checkpoints/*/epoch-*")])
    stages = psutil.Process(training.pid).children(recursive=True)
    for stage in stages:  # else it may end before the password is another one
        stage.suspend()
    change_password(server, f"{MARK}-of-bob-2")
    for stage in stages:
        stage.resume()
    try:
        output, _ = training.communicate(timeout=240)
        assert training.returncode == 0, output
        assert output.count("does not know bob by this password") == 2  # train, evaluate
        assert MARK not in output
        project.environment["MLFLOW_TRACKING_PASSWORD"] = f"{MARK}-of-bob-2"
        project.run(*SYNC)
    finally:
        change_password(server, password("bob"))
    run_id = run_id_of(project)
    assert len(client.get_metric_history(run_id, "loss")) == EPOCHS
    assert "test_accuracy" in client.get_run(run_id).data.metrics


def change_password(server: Team, secret: str) -> None:
    server.ask("PATCH", "2.0/mlflow/users/update-password", username="bob", password=secret)


def test_no_secret_is_in_what_a_run_wrote(
    bob: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    """Not on the laptop, in the server's databases or its bucket, also from addresses."""
    output = bob.path.with_name("output").read_text(encoding="utf-8") + bob.run(*SYNC)
    for module in ("extras.compare.report", "extras.compare"):
        output += bob.run("python", "-m", module)
    output += bob.fail(*REPRO, "--force", MLFLOW_TRACKING_URI=f"http://b:{MARK}@127.0.0.1:1")
    assert MARK not in output
    run = client.get_run(run_id_of(bob))
    assert "git.uncommitted_changes" in run.data.tags
    assert run.data.tags["mlflow.user"] == "bob"
    shutil.copytree(bob.path, tmp_path / "project", symlinks=True)
    shutil.rmtree(tmp_path / "project/tests")  # which name it, too
    written = Project(tmp_path / "project").contents(".")
    assert [name for name, content in written.items() if MARK.encode() in content] == []
    environment = {**bob.environment, "PGPASSWORD": DATABASE_PASSWORD}
    databases = (server.parts.settings[name] for name in ("runs", "users"))
    commands = (["pg_dump", "--dbname", address, "--data-only"] for address in databases)
    dump = b"".join(
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        for command in commands
    )
    assert run.info.run_id.encode() in dump
    assert MARK.encode() not in dump
    objects = server.parts.objects()
    assert [key for key, content in objects.items() if MARK.encode() in content] == []
