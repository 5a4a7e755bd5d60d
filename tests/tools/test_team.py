"""A team: users with passwords on the server that `make server` starts, and what each may do."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from sentiment import files
from sentiment.registry.versions import NAME
from sentiment.runs.store import EXPERIMENT
from tests.project import Project
from tests.team import MARK, Team, team

TOOL = ("python", "-m")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("team")) as found:
        yield found


@pytest.fixture(scope="module")
def alice(server: Team, finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project whose run Alice made known to the server; her model is champion."""
    project = finished.copy(tmp_path_factory.mktemp("alice") / "project")
    project.environment |= server.user("alice")
    project.change(promote={"dataset": "synthetic"})
    output = project.run("dvc", "repro", "--force")
    assert f"Version 1 of {NAME}: champion, there was no champion" in output
    allow(server, "bob")
    return project


def allow(server: Team, user: str) -> None:
    """Let a user change the project's experiment and its registered model."""
    experiment = server.ask(
        "GET", f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    )["experiment"]["experiment_id"]
    for kind, name in (("experiment", experiment), ("registered_model", NAME)):
        grant = {"username": user, "resource_type": kind, "resource_id": name, "permission": "EDIT"}
        server.ask("POST", "3.0/mlflow/users/permissions/grant", **grant)


@pytest.fixture
def client(server: Team, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """The administrator's client."""
    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.address)


def member(alice: Project, server: Team, name: str, folder: Path) -> Project:
    """A copy of her project on another user's machine."""
    project = alice.copy(folder / "project")
    project.environment |= server.user(name)
    return project


def test_all_of_a_run_is_on_the_server(alice: Project, client: mlflow.MlflowClient) -> None:
    run_id = files.read_json(alice.path / "data/train/run.json")["run_id"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.user"] == "alice"
    assert {"accuracy", "test_accuracy"} <= run.data.metrics.keys()
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {each.path for each in client.list_artifacts(run_id)}
    assert {"train", "evaluate", "versions"} <= names


def test_who_may_only_read_trains_all_the_same_and_sync_logs_it_later(
    alice: Project, server: Team, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    project = member(alice, server, "reader", tmp_path)
    before = len(client.search_runs(["1"]))
    project.change(train={"seed": 7})
    output = project.run("dvc", "repro")
    print(output)
    assert output.count("does not let reader do this") == 1
    assert "`make sync`" in output
    assert "Traceback" not in output
    assert len(client.search_runs(["1"])) == before
    assert "does not let reader do this" in project.fail(*TOOL, "tools.sync")
    assert len(client.search_runs(["1"])) == before
    project.environment |= server.user("bob")
    project.run(*TOOL, "tools.sync")
    run_id = files.read_json(project.path / "data/train/run.json")["run_id"]
    (run,) = client.search_runs(["1"], f"tags.restored_from = '{run_id}'")
    assert {"accuracy", "test_accuracy"} <= run.data.metrics.keys()


def test_a_wrong_password_is_one_message(alice: Project, server: Team, tmp_path: Path) -> None:
    project = member(alice, server, "bob", tmp_path)
    project.environment["MLFLOW_TRACKING_PASSWORD"] = f"{MARK}-but-another"
    before = project.contents("data")
    project.change(train={"seed": 8})
    output = project.fail("dvc", "repro")
    print(output)
    assert "does not know bob by this password" in output
    assert "Traceback" not in output
    assert project.contents("data") == before
