"""A team shares runs and data by the commands of extras/team/README.md, as they stand.

The tests are one story, in the order in which they stand.
"""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.extras.team import page
from tests.extras.team.servers import ORIGIN, PASSWORDS, TeamServer, team_server
from tests.project import MODEL, Project

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow
DVC = (sys.executable, "-m", "dvc")
COMMAND = (sys.executable, "-m", "cli")
LIST_BUCKET = ("aws", "s3", "ls", "--recursive", "s3://mlflow")
RAN = "Running stage"


@pytest.fixture
def client(server: TeamServer, monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    """Return the administrator's client."""
    from mlflow import MlflowClient

    for name, value in server.user("admin").items():
        monkeypatch.setenv(name, value)
    return MlflowClient(server.url)


def experiment_id(client: "MlflowClient") -> str:
    """Return the id of the experiment of the trainings."""
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    return str(experiment.experiment_id)


def read_history(client: "MlflowClient") -> list[Any]:
    """Return all runs with a curve, and all versions."""
    history: list[Any] = []
    for run in client.search_runs([experiment_id(client)]):
        points = client.get_metric_history(run.info.run_id, "loss")
        curve = sorted((point.step, point.value) for point in points)
        history.append((run.info.run_id, run.info.status, run.data.params, run.data.metrics, curve))
    for version in client.search_model_versions(f"name = '{MODEL}'"):
        history.append((version.version, version.run_id, version.aliases, version.tags))
    return history


def run_id_of(printed: str) -> str:
    """Return the id of the run that a command printed."""
    (run_id,) = re.findall(r"^Run ([0-9a-f]{32}): ", printed, re.MULTILINE)
    return str(run_id)


def test_training_from_before_is_logged_to_the_server_and_its_bucket(
    alice: Project, client: "MlflowClient"
) -> None:
    run_id = run_id_of(alice.run(*COMMAND, "sync"))
    assert client.get_model_version_by_alias(MODEL, "champion").run_id == run_id
    uri = client.get_run(run_id).info.artifact_uri
    assert uri.startswith("mlflow-artifacts:/")
    assert f"{run_id}/artifacts/predictions.csv" in alice.run(
        "aws", "s3", "ls", "--recursive", "s3://mlflow"
    )
    assert not (alice.path / "mlflow.db").exists()


def test_browser_at_the_servers_name_may_search_runs(server: TeamServer) -> None:
    response = requests.post(
        f"{server.url}/ajax-api/2.0/mlflow/experiments/search",
        json={"max_results": 1},
        headers={"Origin": ORIGIN},
        auth=("reader", PASSWORDS["reader"]),
        timeout=60,
    )
    assert response.ok, response.text


def test_second_person_gets_data_and_champion_without_training(
    alice: Project, bob: Project, client: "MlflowClient"
) -> None:
    before = read_history(client)
    assert RAN not in page.run("without training:", bob.path, bob.environment)
    for folder in ("data", "metrics"):
        assert bob.contents(folder) == alice.contents(folder)
    assert read_history(client) == before
    assert "tive, probability " in bob.run(*COMMAND, "predict", "A fine film.")


def test_person_who_may_only_read_cannot_promote(
    bob: Project, server: TeamServer, client: "MlflowClient"
) -> None:
    champion = client.get_model_version_by_alias(MODEL, "champion")
    message = bob.fail(*COMMAND, "promote", str(champion.run_id), **server.user("reader"))
    assert f"The MLflow server at {server.url} does not let reader do this." in message


def test_trainer_trains_and_evaluates_in_one_run(bob: Project, client: "MlflowClient") -> None:
    """Alice may do everything with the experiment, which she created. Bob has the page's role."""
    bob.change(train={"seed": 7})
    bob.run(*DVC, "repro", "train")
    trained = client.search_runs([experiment_id(client)])[0]
    assert trained.data.params["train.seed"] == "7"
    assert trained.data.tags["mlflow.user"] == "bob"
    assert run_id_of(bob.run(*COMMAND, "repro")) == trained.info.run_id


def test_conflict_of_two_changes_is_resolved_without_training(alice: Project, bob: Project) -> None:
    bob.commit()
    page.run("After a training, commit, and share it:", bob.path, bob.environment)
    alice.change(evaluate={"threshold": 0.6})
    alice.run(*COMMAND, "repro")
    alice.commit()
    assert "CONFLICT" in alice.fail("git", "pull", "--no-rebase")
    printed = page.run("with both changes in `params.yaml`:", alice.path, alice.environment)
    assert f"{RAN} 'evaluate'" in printed
    assert f"{RAN} 'train'" not in printed
    document = (alice.path / "data/evaluate/inputs.json").read_text(encoding="utf-8")
    evaluated = json.loads(document)["inputs"]
    assert (evaluated["train"]["seed"], evaluated["evaluate"]["threshold"]) == (7, 0.6)
    assert alice.run("git", "status", "--porcelain") == ""


def test_backup_is_restored_with_runs_versions_artifacts_and_users(
    bob: Project, server: TeamServer, client: "MlflowClient", tmp_path: Path
) -> None:
    before = read_history(client)
    with team_server(tmp_path) as second:
        page.run("**Backup.**", tmp_path, server.environment)
        second.run("**Restore.**")
        with second.serving():
            from mlflow import MlflowClient

            assert read_history(MlflowClient(second.url)) == before
            said = bob.run(*COMMAND, "predict", "A fine film.", **second.user("bob"))
            assert "tive, probability " in said


def test_gc_removes_deleted_runs_with_their_artifacts(
    alice: Project, server: TeamServer, client: "MlflowClient"
) -> None:
    from mlflow.entities import ViewType

    experiment = experiment_id(client)
    before = read_history(client)
    deleted = client.create_run(experiment)
    client.log_text(deleted.info.run_id, "some", "text.txt")
    assert deleted.info.run_id in alice.run(*LIST_BUCKET)
    client.delete_run(deleted.info.run_id)
    server.run("**Deleted runs**", **server.user("admin"))
    assert client.search_runs([experiment], "", ViewType.DELETED_ONLY) == []
    assert deleted.info.run_id not in alice.run(*LIST_BUCKET)
    assert read_history(client) == before
