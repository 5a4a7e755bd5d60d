"""Each evaluated run of the real pipeline is a version, once, and the rule decides about it."""

import json
import shutil
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


def versions() -> list[ModelVersion]:
    """All versions, the oldest first."""
    unsorted = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
    return sorted(unsorted, key=lambda version: int(version.version))


def test_a_version_names_its_run_its_metrics_and_its_data_and_is_registered_once(
    project: Project, call: Caller
) -> None:
    (run,), (version,) = runs(), versions()
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    assert version.run_id == run.info.run_id
    assert float(version.tags["test_accuracy"]) == metrics["test_accuracy"]
    assert float(version.tags["test_ece"]) == metrics["test_ece"]
    for tag in ("model.sha256", "data.x_train.sha256"):
        assert version.tags[tag] == run.data.tags[tag]
    assert len(version.tags["data.test.sha256"]) == 64
    assert version.tags["promote.reason"] == "there was no champion"
    project.change(evaluate={"threshold": 0.9})  # that is not what data/evaluate was made with
    mlflow.MlflowClient().delete_tag(run.info.run_id, "outputs.evaluate")
    call(sync.main)
    assert [again.tags for again in versions()] == [version.tags]


def test_another_threshold_is_another_version_of_the_same_run_and_the_rule_decides_about_it(
    project: Project, call: Caller
) -> None:
    project.change(evaluate={"threshold": 0.9999})
    output = call(evaluate.main)
    assert f"Version 2 of {NAME}: " in output
    assert "than the champion: McNemar's exact p = " in output
    (run,) = runs()
    assert run.info.status == "FINISHED"
    first, second = versions()
    assert first.run_id == second.run_id
    assert second.tags["promote.by"] == "rule"
    text = pd.DataFrame({"text": ["a fine film"]})
    answer = mlflow.pyfunc.load_model(f"models:/{NAME}/2").predict(text)
    assert answer["label"][0] == "negative"
    assert first.tags["served.sha256"] != second.tags["served.sha256"]


def test_a_model_that_takes_no_text_or_was_changed_is_refused_and_its_copy_is_loaded(
    project: Project, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    intact, model = project.copy(tmp_path / "intact"), f"runs:/{runs()[0].info.run_id}/model"
    assert f"{model} does not take raw text" in call.fail(predict.main, TEXT="a", MODEL=model)
    (index,) = project.path.glob("mlruns/1/models/*/artifacts/**/word_index.json")
    with index.open("ab") as file:
        file.write(b" ")
    output = call.fail(predict.main, TEXT="a", MODEL=f"models:/{NAME}/1")
    assert f"models:/{NAME}/1 cannot be loaded: " in output
    assert "word_index.json was changed" in output
    shutil.rmtree(project.path / "mlruns")
    stand_in(intact.path, monkeypatch)
    assert "label" in call(predict.main, TEXT="a", MODEL=f"models:/{NAME}/1")
