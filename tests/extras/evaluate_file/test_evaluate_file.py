"""`make evaluate FILE=…`: a model's answers to a file of labelled texts are a run of their own."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from extras.evaluate_file import __main__ as evaluate_file
from tests.conftest import Caller, Starter, runs, stand_in
from tests.own_texts import MODEL, NAME, write_texts
from tests.project import Project
from tools import sync
from workflow import files
from workflow.registry import champion
from workflow.runs.logger import RunLogger, guarded

KILLED = f"""
import os, signal
from extras.evaluate_file import file_run
from workflow.runs.logger import RunLogger
RunLogger.metrics = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file_run.make({NAME!r}, {{}}, None)
"""


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of one's own of a project that was trained on a table; it is the working directory."""
    project = own_texts.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def test_a_file_from_elsewhere_is_evaluated_as_a_run_linked_to_the_model(
    project: Project, call: Caller
) -> None:
    rows = write_texts(project.path / "other.csv", seed=5)
    lines = [json.dumps({"text": content, "label": int(label)}) for content, label in rows]
    (project.path / "elsewhere.jsonl").write_text("\n".join(lines), encoding="utf-8")
    names = ("--text", "text", "--label", "label", "--file", "elsewhere.jsonl")
    result = json.loads(call(evaluate_file.main, *names, "--json").splitlines()[-1])
    assert (result["reviews"], result["positive"], result["also_in_training"]) == (240, 60, 0)
    accuracy = result["metrics"]["accuracy"]["here"]
    low, high = result["metrics"]["accuracy"]["interval"]
    assert low < accuracy < high
    own = files.read_json(project.path / "data/evaluate/metrics.json")
    for name in ("accuracy", "roc_auc"):
        assert result["metrics"][name]["there"] == pytest.approx(own[f"test_{name}"])
    answers = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion").predict(
        pd.DataFrame({"text": [content for content, _ in rows]})
    )
    right = (answers["label"] == "positive") == [label == "1" for _, label in rows]
    assert accuracy == pytest.approx(right.mean())

    client = mlflow.MlflowClient()
    run = client.get_run(result["run_id"])
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert run.inputs
    assert run.data.tags["evaluation.of"] == version.run_id
    assert [used.model_id for used in run.inputs.model_inputs] == [champion.model_id(version)]
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name == "elsewhere.jsonl"
    logged = run.data.metrics
    assert (logged["test_accuracy"], logged["test_accuracy_low"]) == (accuracy, low)
    paths = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "evaluate")}
    assert {"roc.png", "confusion.png", "mistakes.csv", "predictions.csv"} <= paths


def test_texts_that_the_model_was_trained_on_are_counted(call: Caller, project: Project) -> None:
    """Twice, each time into a folder of its own."""
    for _ in range(2):
        printed = call(evaluate_file.main, "--file", NAME)
        assert f"models:/{MODEL}/1 on {NAME}" in printed
        assert "240 texts, 60 positive, 192 of them also in training" in printed
    folders = [*(project.path / "reports").iterdir()]
    assert len(folders) == 2
    for folder in folders:
        assert files.read_json(folder / "metrics.json")["test_reviews"] == 240


def test_evaluations_at_once_leave_each_other_alone(project: Project, start: Starter) -> None:
    """Of files with the same name."""
    for seed, name in enumerate("ab"):
        (project.path / name).mkdir()
        write_texts(project.path / name / "reviews.csv", seed, count=100 + seed)
    command = ("python", "-m", "extras.evaluate_file", "--json", "--file")
    processes = [start(project, *command, f"{name}/reviews.csv") for name in "ab"]
    results = [json.loads(p.communicate(timeout=300)[0].splitlines()[-1]) for p in processes]
    assert [result["reviews"] for result in results] == [100, 101]
    assert len({result["folder"] for result in results}) == 2
    for result in results:
        folder = project.path / result["folder"]
        assert files.read_json(folder / "metrics.json")["test_reviews"] == result["reviews"]
        digests = files.read_about(folder)["files"]
        logged = mlflow.artifacts.download_artifacts(f"runs:/{result['run_id']}/evaluate")
        for name in digests:
            files.checked(Path(logged) / name, digests)


def test_an_evaluation_that_is_killed_is_not_running_any_more(
    project: Project, call: Caller
) -> None:
    (project.path / "killed.py").write_text(KILLED, encoding="utf-8")
    project.fail("python", "-m", "killed")
    assert runs()[0].info.status == "RUNNING"
    call(sync.main)
    assert [run.info.status for run in runs()] == ["KILLED", "FINISHED"]


def test_an_evaluation_whose_store_fails_is_a_failed_run(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    @guarded
    def fail(*_: object) -> None:
        raise mlflow.MlflowException("the disk is full")

    monkeypatch.setattr(RunLogger, "metrics", fail)
    message = call.fail(evaluate_file.main, "--file", NAME)
    (folder,) = (project.path / "reports").iterdir()
    assert f"{folder.relative_to(project.path)} is complete, its run in MLflow is not" in message
    assert [run.info.status for run in runs()] == ["FAILED", "FINISHED"]


@pytest.mark.usefixtures("project")
def test_what_cannot_be_evaluated_is_one_message(call: Caller) -> None:
    for message, *arguments in (
        ("There is no file none.csv.", "--file", "none.csv"),
        ("ends in none of .csv", "--file", "params.yaml"),
        ("has no column 'body' (fetch.table.text): 'text'", "--file", "data/example.csv"),
        ("'stars' is '0', a third label beside '2'", "--file", NAME, "--positive", "2"),
        ("names no version of a registered model", "--file", NAME, "--model", "runs:/0/model"),
        (f"There is no model models:/{MODEL}/7", "--file", NAME, "--model", f"models:/{MODEL}/7"),
        ("Missing option '--file' (env var: 'FILE')",),
    ):
        assert message in call.fail(evaluate_file.main, *arguments)
    assert len(runs()) == 1
