"""A team: training, logging and champions on the server that `make server` starts, by user."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run

from tests.conftest import Caller
from tests.extras.team.servers import DATABASE_PASSWORD, MARK, Team, password
from tests.extras.test_listening import look
from tests.project import MODEL, Project
from tools import demote, promote
from workflow import outputs
from workflow.store import EXPERIMENT
from workflow.tracking import TRAINING_ID

pytestmark = pytest.mark.slow
REPRO = ("dvc", "repro")
SYNC = ("python", "-m", "tools.sync")


def member(laptop: Project, server: Team, name: str, folder: Path) -> Project:
    """A copy of the project on a user's machine, which has no store of its own."""
    project = Project(folder / "project")
    shutil.copytree(laptop.path, project.path, symlinks=True, ignore=lambda *_: ["mlflow.db"])
    project.environment |= server.user(name)
    return project


@pytest.fixture(scope="module")
def experiment_id(moved: Any, server: Team) -> str:
    """The experiment of the moved history, which Bob has the right to change since."""
    assert moved["equal"]
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = str(server.ask("GET", path)["experiment"]["experiment_id"])
    for kind, name in (("experiment", experiment), ("registered_model", MODEL)):
        right = {"resource_type": kind, "resource_id": name, "permission": "EDIT"}
        server.ask("POST", "3.0/mlflow/users/permissions/grant", username="bob", **right)
    return experiment


@pytest.fixture(scope="module")
def bob(
    experiment_id: str, laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The project on Bob's machine after a training of his.

    His password is in the server's address, and another secret was in his configuration of DVC
    meanwhile. What the command printed is in the file `output` beside the project.
    """
    assert experiment_id
    project = member(laptop, server, "bob", tmp_path_factory.mktemp("bob"))
    host = server.address.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://bob:{password('bob')}@{host}"
    for name in ("USERNAME", "PASSWORD"):
        del project.environment[f"MLFLOW_TRACKING_{name}"]
    project.change(train={"seed": 7})
    project.run("dvc", "remote", "add", "shared", f"https://me:{MARK}@data.example/")
    project.path.with_name("output").write_text(project.run(*REPRO), encoding="utf-8")
    project.run("git", "checkout", "--", ".dvc/config")  # where the user wrote it
    return project


@pytest.fixture
def client(server: Team, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """The administrator's client."""
    for name, value in {**server.user("admin"), "MLFLOW_HTTP_REQUEST_TIMEOUT": "300"}.items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.address)


@pytest.fixture
def bobs_run(bob: Project, experiment_id: str, client: mlflow.MlflowClient) -> Run:
    """The run of Bob's training, on the server."""
    training_id = outputs.read_run_record(bob.path / "data" / "train").training_id
    (run,) = client.search_runs([experiment_id], f"tags.`{TRAINING_ID}` = '{training_id}'")
    return run


def test_a_training_is_logged_beside_the_moved_history_and_tested_against_its_champion(
    bob: Project, bobs_run: Run, client: mlflow.MlflowClient
) -> None:
    assert bobs_run.info.status == "FINISHED"
    assert bobs_run.data.tags["mlflow.user"] == "bob"
    assert {"accuracy", "test_accuracy"} <= bobs_run.data.metrics.keys()
    assert bobs_run.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {item.path for item in client.list_artifacts(bobs_run.info.run_id)}
    assert {"train", "evaluate", "versions"} <= names
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    assert f"of {MODEL} is not promoted: not shown to be better than the champion" in output
    (version,) = client.search_model_versions(f"run_id = '{bobs_run.info.run_id}'")
    assert version.tags["promote.reason"].endswith("(the champion: version 1)")


def test_the_champion_is_changed_by_hand_and_given_back_but_not_deleted_without_the_right(
    bob: Project, bobs_run: Run, server: Team, client: mlflow.MlflowClient, call: Caller
) -> None:
    """MLflow counts it as deleting to take the alias away for good."""
    run_id = bobs_run.info.run_id
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    call.monkeypatch.chdir(bob.path)
    promoted = call.json(promote.main, "--run", run_id, **server.user("bob"))
    assert promoted["champion"] == str(version.version)
    assert call.json(demote.main)["champion"] == "1"
    assert "does not let bob do this" in call.fail(demote.main)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.decision"] == "champion"  # nothing that is not so


def test_the_server_is_on_the_loopback_and_no_secret_in_arguments_or_in_what_a_run_wrote(
    bob: Project, bobs_run: Run, server: Team
) -> None:
    """Not on the laptop, in the server's databases or its bucket, also from addresses."""
    seen = look(server.processes[-1])
    assert {*seen.addresses} == {"127.0.0.1"}
    assert [argument for argument in seen.arguments if MARK in argument] == []
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    output += bob.run(*SYNC) + bob.run("python", "-m", "extras.compare.report")
    output += bob.fail(*SYNC, MLFLOW_TRACKING_URI=f"http://b:{MARK}@127.0.0.1:1")
    assert MARK not in output
    assert "git.uncommitted_changes" in bobs_run.data.tags
    shutil.rmtree(bob.path / "tests")  # which name it, too
    written = bob.contents(".")
    assert [name for name, content in written.items() if MARK.encode() in content] == []
    environment = {**bob.environment, "PGPASSWORD": DATABASE_PASSWORD}
    databases = (server.parts.settings[name] for name in ("runs", "users"))
    commands = (["pg_dump", "--dbname", address, "--data-only"] for address in databases)
    dump = b"".join(
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        for command in commands
    )
    assert bobs_run.info.run_id.encode() in dump
    assert MARK.encode() not in dump
    objects = server.parts.objects()
    assert [key for key, content in objects.items() if MARK.encode() in content] == []
