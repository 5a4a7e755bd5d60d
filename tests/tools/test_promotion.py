"""Each evaluated run of the real pipeline is a version, once, and the rule decides about it."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from stages import evaluate, train
from tests.conftest import Caller, runs, stand_in
from tests.project import MODEL as NAME
from tests.project import Project
from tools import demote, predict, promote, sync


@pytest.fixture(autouse=True)
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(project.path, monkeypatch)


def versions() -> list[ModelVersion]:
    """All versions, the oldest first."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: int(version.version))


def champion() -> ModelVersion:
    return mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion")


def test_a_version_names_its_run_its_metrics_and_its_data(project: Project) -> None:
    (run,), (version,) = runs(), versions()
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    assert version.run_id == run.info.run_id
    assert float(version.tags["test_accuracy"]) == metrics["test_accuracy"]
    assert float(version.tags["test_ece"]) == metrics["test_ece"]
    for tag in ("model.sha256", "data.x_train.sha256"):
        assert version.tags[tag] == run.data.tags[tag]
    assert len(version.tags["data.test.sha256"]) == 64
    assert version.tags["promote.decision"] == "champion"
    assert version.tags["promote.reason"] == "there was no champion"


def test_a_version_takes_raw_text_and_answers_as_the_evaluation_did(project: Project) -> None:
    fetch = project.path / "data" / "fetch"
    index = json.loads((fetch / "word_index.json").read_bytes())
    words = ["", *sorted(index, key=index.__getitem__)]
    tokens, offsets = (np.load(fetch / f"test_{name}.npy") for name in ("tokens", "offsets"))
    order = np.load(project.path / "data" / "pad" / "test_order.npy")
    texts = [" ".join(words[r] for r in tokens[offsets[i] : offsets[i + 1]]) for i in order]
    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    answers = model.predict(pd.DataFrame({"text": texts}))
    expected = np.load(project.path / "data" / "evaluate" / "probabilities.npy")
    np.testing.assert_array_equal(answers["probability"].to_numpy(), expected)


def test_logging_again_registers_nothing_more(project: Project, call: Caller) -> None:
    before = [version.tags for version in versions()]
    project.change(evaluate={"threshold": 0.9})  # that is not what data/evaluate was made with
    mlflow.MlflowClient().delete_tag(runs()[0].info.run_id, "outputs.evaluate")
    call(sync.main)
    assert [version.tags for version in versions()] == before


def test_a_store_that_was_lost_gets_the_version_again(
    project: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = versions()[0].tags
    (project.path / "mlflow.db").unlink()
    shutil.rmtree(project.path / "mlruns")
    # elsewhere: this process still holds the old database open
    moved = Project(project.path.rename(tmp_path / "renamed"))
    stand_in(moved.path, monkeypatch)
    for _ in range(2):
        call(sync.main)
    (version,) = versions()
    assert version.tags == tags
    assert version.run_id == runs()[0].info.run_id


def test_another_threshold_is_another_version_of_the_same_run(
    project: Project, call: Caller
) -> None:
    project.change(evaluate={"threshold": 0.9999})
    call(evaluate.main)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    first, second = versions()
    assert first.run_id == second.run_id
    text = pd.DataFrame({"text": ["a fine film"]})
    labels = [
        mlflow.pyfunc.load_model(f"models:/{NAME}/{number}").predict(text)["label"][0]
        for number in (1, 2)
    ]
    assert labels[1] == "negative"
    assert first.tags["served.sha256"] != second.tags["served.sha256"]


def test_a_model_that_was_changed_is_refused_in_one_message(project: Project) -> None:
    source = mlflow.MlflowClient().get_model_version(NAME, "1").source
    (index,) = project.path.glob(f"mlruns/1/models/{str(source)[8:]}/artifacts/**/word_index.json")
    with index.open("ab") as file:
        file.write(b" ")
    model = f"models:/{NAME}/1"
    output = project.fail("python", "-m", "tools.predict", TEXT="a", MODEL=model)
    assert f"{model} cannot be loaded: " in output
    assert "word_index.json was changed" in output
    assert "Traceback" not in output


def test_a_model_is_asked_by_the_code_that_travels_with_it(project: Project, call: Caller) -> None:
    ask = ("--json", "--text", "a fine film", "--model", f"models:/{NAME}/1")
    before = call(predict.main, *ask).splitlines()[-1]
    with (project.path / "sentiment" / "text.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef known_words(*_):\n    raise RuntimeError\n")
    after = project.run("python", "-m", "tools.predict", *ask).splitlines()[-1]
    assert json.loads(after) == json.loads(before)


@pytest.mark.usefixtures("project")
def test_a_model_that_takes_no_text_is_named(call: Caller) -> None:
    model = f"runs:/{runs()[0].info.run_id}/model"
    output = call.fail(predict.main, TEXT="a", MODEL=model)
    assert f"{model} does not take raw text" in output


def test_a_changed_rule_trains_nothing(project: Project) -> None:
    project.change(promote={"alpha": 0.04})
    output = project.run("dvc", "repro")
    assert "Running stage 'evaluate'" in output
    assert "Running stage 'train'" not in output


def test_the_rule_decides_about_a_second_version(project: Project, call: Caller) -> None:
    project.change(train={"seed": 1})
    call(train.main)
    output = call(evaluate.main)
    assert f"Version 2 of {NAME}: " in output
    assert "than the champion: McNemar's exact p = " in output
    assert versions()[1].tags["promote.by"] == "rule"


def evaluated_at(project: Project, call: Caller, threshold: float) -> ModelVersion:
    """The version of the one run with a threshold, after an evaluation by it."""
    project.change(evaluate={"threshold": threshold})
    output = call(evaluate.main)
    (found,) = re.findall(rf"^Version (\d+) of {NAME}: ", output, re.MULTILINE)
    return versions()[int(found) - 1]


def test_a_candidate_counts_after_its_version_was_deleted(project: Project, call: Caller) -> None:
    first = evaluated_at(project, call, 0.9999)
    assert "as candidate 1 against it" in first.tags["promote.reason"]
    mlflow.MlflowClient().delete_model_version(NAME, first.version)
    project.change(evaluate={"threshold": 0.999})
    assert "as candidate 2 against it" in call(evaluate.main)


def test_a_version_keeps_its_number_when_a_former_champion_comes_back(
    project: Project, call: Caller
) -> None:
    first = evaluated_at(project, call, 0.9999)
    evaluated_at(project, call, 0.999)
    call(promote.main, "--run", str(first.run_id))
    assert str(champion().version) == "3"
    between = evaluated_at(project, call, 0.9999)
    assert (between.tags["promote.against"], between.tags["promote.candidate"]) == ("3", "1")
    call(demote.main)
    assert str(champion().version) == "1"
    assert evaluated_at(project, call, 0.9999).tags["promote.candidate"] == "1"
    assert evaluated_at(project, call, 0.99).tags["promote.candidate"] == "3"
