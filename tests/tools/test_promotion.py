"""Each evaluated model of the real pipeline is a version, once, and the rule decides about it."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow.entities.model_registry import ModelVersion

from tests.conftest import Caller, runs, stand_in
from tests.project import MODEL as NAME
from tests.project import Project
from tools import predict, sync

pytestmark = pytest.mark.slow


def versions() -> list[ModelVersion]:
    """Return all versions, the oldest first."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: int(version.version))


def test_version_names_its_run_its_metrics_and_its_data(project: Project) -> None:
    (run,) = runs()
    (version,) = versions()
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    assert version.run_id == run.info.run_id
    assert float(version.tags["test_accuracy"]) == metrics["test_accuracy"]
    assert float(version.tags["test_ece"]) == metrics["test_ece"]
    assert version.tags["model.sha256"] == run.data.tags["model.sha256"]
    assert len(version.tags["data.test.sha256"]) == 64
    assert version.tags["promote.reason"] == "there was none before"


def test_version_is_registered_once(project: Project, call: Caller) -> None:
    (version,) = versions()
    project.change(evaluate={"threshold": 0.9})  # data/evaluate was made with another one
    mlflow.MlflowClient().delete_tag(runs()[0].info.run_id, "outputs.evaluate")
    call(sync.main)
    assert [again.tags for again in versions()] == [version.tags]


def test_changed_model_is_refused_and_an_intact_copy_of_the_project_is_used(
    project: Project, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    intact = project.copy(tmp_path / "intact")
    (index,) = project.path.glob("mlruns/1/models/*/artifacts/artifacts/word_index.json")
    with index.open("ab") as file:
        file.write(b" ")
    message = call.fail(predict.main, TEXT="a", MODEL=f"models:/{NAME}/1")
    assert f"models:/{NAME}/1 cannot be loaded: " in message
    assert "word_index.json was changed" in message
    stand_in(intact.path, monkeypatch)
    assert "label" in call(predict.main, TEXT="a", MODEL=f"models:/{NAME}/1")
