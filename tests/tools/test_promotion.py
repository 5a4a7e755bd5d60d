"""Each evaluated model of the real pipeline is a version, once, and the rule decides about it."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from stages import evaluate
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


def test_another_threshold_is_another_version_of_the_same_run(
    project: Project, call: Caller
) -> None:
    project.change(evaluate={"threshold": 0.9999})
    output = call(evaluate.main)
    assert f"Version 2 of {NAME} is " in output
    assert "than the champion: McNemar's exact p = " in output
    (run,) = runs()
    assert run.info.status == "FINISHED"
    first, second = versions()
    assert first.run_id == second.run_id == run.info.run_id
    assert second.tags["promote.by"] == "rule"
    assert first.tags["served.sha256"] != second.tags["served.sha256"]
    text = pd.DataFrame({"text": ["a fine film"]})
    prediction = mlflow.pyfunc.load_model(f"models:/{NAME}/2").predict(text)
    assert prediction["label"][0] == "negative"


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
