"""`make evaluate-file`: an evaluation on a file of labeled texts is a run of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from extras.evaluate_file import __main__ as evaluate_file
from sentiment.evaluation.metrics import wilson_interval
from stages import fetch
from tests.conftest import Caller, own_copy, runs
from tests.own_texts import MODEL, NAME, write_texts
from tests.project import Project
from workflow import files, tracking
from workflow.files import FETCH, array_names
from workflow.registry import packaging
from workflow.serving.prediction_log import PredictionLog

pytestmark = pytest.mark.slow


@pytest.fixture
def project(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of a project that was trained on a table, as the working directory."""
    return own_copy(own_texts, tmp_path, monkeypatch)


def test_evaluation_of_a_file_is_a_run_that_is_linked_to_the_model(
    project: Project, call: Caller
) -> None:
    rows = write_texts(project.path / "other.csv", seed=5)
    lines = [json.dumps({"text": content, "label": int(label)}) for content, label in rows]
    (project.path / "elsewhere.jsonl").write_text("\n".join(lines), encoding="utf-8")
    names = ("--text-column", "text", "--label-column", "label", "--file", "elsewhere.jsonl")
    result = json.loads(call(evaluate_file.main, *names, "--json").splitlines()[-1])
    assert (result["reviews"], result["positive"], result["also_in_training"]) == (240, 60, 0)
    accuracy = result["metrics"]["accuracy"]
    own = files.read_json(project.path / "data/evaluate/metrics.json")
    for name in ("accuracy", "roc_auc"):
        assert result["metrics"][name]["test_value"] == pytest.approx(own[f"test_{name}"])
    predicted = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion").predict(
        pd.DataFrame({"text": [content for content, _ in rows]})
    )
    right = (predicted["label"] == "positive") == [label == "1" for _, label in rows]
    assert accuracy["value"] == pytest.approx(right.mean())
    correct = (int(right.sum()), 240)
    assert accuracy["interval"] == pytest.approx(wilson_interval(*correct, 0.95))

    client = mlflow.MlflowClient()
    run = client.get_run(result["run_id"])
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert run.info.status == "FINISHED"
    assert run.data.tags["evaluation.of"] == version.run_id
    assert run.data.metrics["test_accuracy"] == accuracy["value"]
    assert run.inputs
    assert [used.model_id for used in run.inputs.model_inputs] == [tracking.model_id_of(version)]
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["elsewhere.jsonl"]
    folder = project.path / result["folder"]
    logged = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/evaluate"))
    for name, digest in files.read_digests(folder).items():
        assert files.sha256(logged / name) == digest
    assert (logged / "mistakes.csv").exists()


def test_texts_that_the_model_was_trained_on_are_counted(project: Project, call: Caller) -> None:
    printed = call(evaluate_file.main, "--file", NAME)
    assert f"models:/{MODEL}/1 on {NAME}" in printed
    assert "240 texts, 192 of them also in the training set" in printed
    assert len([*(project.path / "reports").iterdir()]) == 1


def test_it_is_not_known_whether_texts_are_in_the_training_set_if_data_has_another_one(
    project: Project, call: Caller
) -> None:
    test_digest = files.joint_digest(FETCH, array_names("test"))
    lines = ["body,stars", "parfait parfait génial,1", "nul nul cassé,0"]  # join the training set
    (project.path / "added.csv").write_text("\n".join(lines), encoding="utf-8")
    project.change(fetch={"added_texts": "added.csv"})
    assert "194 training" in call(fetch.main)
    assert files.joint_digest(FETCH, array_names("test")) == test_digest
    result = call.json(evaluate_file.main, FILE="added.csv", MODEL=f"models:/{MODEL}/1")
    assert (result["reviews"], result["also_in_training"]) == (2, None)
    folder = project.path / result["folder"]
    assert {"test_accuracy_unseen", "test_reviews_seen"}.isdisjoint(
        files.read_json(folder / "metrics.json")
    )
    for table in ("predictions.csv", "mistakes.csv"):
        assert "seen_in_training" not in pd.read_csv(folder / table)


def test_reader_is_told_that_the_training_set_is_not_known(project: Project, call: Caller) -> None:
    shutil.rmtree(project.path / "data" / "fetch")  # as in a new clone
    printed = call(evaluate_file.main, "--file", NAME)
    assert "240 texts. It is not known whether any of them are in the training set" in printed


def test_changed_evaluation_of_the_model_is_one_message(project: Project, call: Caller) -> None:
    (path,) = project.path.glob("mlruns/*/*/artifacts/versions/1/predictions.csv")
    path.write_text("", encoding="utf-8")
    message = call.fail(evaluate_file.main, "--file", NAME)
    assert message.startswith(f"Version 1 of {MODEL}: 1/predictions.csv differs from what the")
    assert message.endswith("Evaluate its run again.")


def test_store_that_fails_ends_the_run_and_keeps_the_evaluation(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise mlflow.MlflowException("the disk is full")

    monkeypatch.setattr(tracking, "log_metrics", fail)
    message = call.fail(evaluate_file.main, "--file", NAME)
    assert "cannot be used: the disk is full" in message
    assert [run.info.status for run in runs()] == ["FAILED", "FINISHED"]
    (folder,) = (project.path / "reports").iterdir()
    assert files.read_json(folder / "metrics.json")["test_reviews"] == 240


@pytest.mark.parametrize("positive", ["1.0", "1"])
def test_positive_label_is_normalized_as_the_labels_of_the_file(
    project: Project, call: Caller, positive: str
) -> None:
    write_texts(project.path / "other.csv", seed=5)
    result = call.json(evaluate_file.main, FILE="other.csv", POSITIVE_LABEL=positive)
    assert result["positive"] == 60


def test_positive_label_may_be_a_truth_value(project: Project, call: Caller) -> None:
    lines = ["body,stars", "très bon,True", "nul,False"]
    (project.path / "other.csv").write_text("\n".join(lines), encoding="utf-8")
    result = call.json(evaluate_file.main, FILE="other.csv", POSITIVE_LABEL="True")
    assert result["positive"] == 1


def test_file_may_have_a_long_name(project: Project, call: Caller) -> None:
    name = f"{'é' * 120}.csv"  # 244 bytes
    write_texts(project.path / name, seed=5)
    result = call.json(evaluate_file.main, FILE=name)
    assert result["file"] == name
    assert (project.path / result["folder"] / "metrics.json").exists()


@pytest.fixture
def logged(project: Project) -> Callable[[bool], pd.DataFrame]:
    """Log 240 predictions, with or without texts, and write the labels to `labels.csv`.

    Returns the texts, their labels and the predicted labels.
    """

    def log(with_texts: bool) -> pd.DataFrame:
        rows = pd.DataFrame(write_texts(project.path / "other.csv", seed=5), columns=["text", "y"])
        ids = [f"a-{row}" for row in rows.index]
        rows[["y"]].assign(request_id=ids).rename(columns={"y": "stars"}).to_csv("labels.csv")
        version = f"models:/{MODEL}/1"
        texts = rows["text"].tolist()
        predictions = packaging.load_model(version).predict_texts(texts)
        PredictionLog(Path("log"), version, with_texts).append("a", texts, predictions)
        return rows.assign(predicted=[prediction.label for prediction in predictions])

    return log


@pytest.mark.parametrize("with_texts", [False, True])
def test_labels_join_logged_predictions_by_the_ids_of_requests(
    logged: Callable[[bool], pd.DataFrame], project: Project, call: Caller, with_texts: bool
) -> None:
    project.change(evaluate={"log_texts": True})
    rows = logged(with_texts)
    labels = Path("labels.csv")
    labels.write_text(f"{labels.read_text()}240,1,else\x1bwhere\n241,0,a-\n242,0,twice\n")
    (path,) = Path("log").iterdir()
    line = json.loads(path.read_text().partition("\n")[0])
    twice = [json.dumps({**line, "request_id": "twice", "probability": p}) for p in (0.1, 0.9)]
    with path.open("a") as file:
        file.write("\n".join(["", *twice, json.dumps(line)[:-9]]))
    printed = call(evaluate_file.main, FILE="labels.csv", LOG="log", JSON="1")
    message = f"do not have exactly one prediction by models:/{MODEL}/1 in log"
    assert f"3 of 243 ids {message}: else\N{REPLACEMENT CHARACTER}where, a-, twice\n" in printed
    result = json.loads(printed.splitlines()[-1])
    assert (result["reviews"], result["positive"]) == (240, 60)
    assert result["also_in_training"] is None
    right = (rows["predicted"] == "positive") == (rows["y"] == "1")
    assert result["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
    run = mlflow.MlflowClient().get_run(result["run_id"])
    assert run.data.params["evaluation.text"] == "request_id"
    predictions = pd.read_csv(Path(result["folder"]) / "predictions.csv")
    assert predictions["predicted"].tolist() == rows["predicted"].tolist()
    assert predictions["words"].min() > 10
    texts = pd.read_csv(Path(result["folder"]) / "mistakes.csv", keep_default_na=False)["text"]
    assert len(texts) == 20
    assert set(texts) <= (set(rows["text"][~right]) if with_texts else {""})


def test_labels_without_a_prediction_in_the_log_are_refused(
    logged: Callable[[bool], pd.DataFrame], call: Caller
) -> None:
    logged(False)
    (path,) = Path("log").iterdir()
    content = path.read_text()
    path.write_text(content.replace(f"{MODEL}/1", f"{MODEL}/2"), encoding="utf-8")
    message = (
        f"240 of 240 ids do not have exactly one prediction by models:/{MODEL}/1 in log: a-0, "
    )
    assert message in call.fail(evaluate_file.main, FILE="labels.csv", LOG="log")
    Path("both.csv").write_text("request_id,stars\na-1,1\na-1,2\n", encoding="utf-8")
    message = "both.csv, row 2 (line 3): a-1 has both labels"
    assert message in call.fail(evaluate_file.main, FILE="both.csv", LOG="log")
    assert "There is no log gone" in call.fail(evaluate_file.main, FILE="labels.csv", LOG="gone")
    assert "no column 'request_id'" in call.fail(evaluate_file.main, FILE="other.csv", LOG="log")
    assert len(runs()) == 1


@pytest.mark.usefixtures("project")
def test_version_of_another_project_is_refused(call: Caller) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("other")
    client.create_model_version("other", f"models:/{MODEL}/1")
    message = call.fail(evaluate_file.main, FILE=NAME, MODEL="models:/other/1")
    assert "models:/other/1 was not registered by this project" in message


def test_unfit_file_is_refused(call: Caller, project: Project) -> None:
    (project.path / "empty.csv").write_text("body,stars\n", encoding="utf-8")
    missing = f"models:/{MODEL}/7"
    for message, *arguments in (
        ("There is no file none.csv.", "--file", "none.csv"),
        ("empty.csv has no row", "--file", "empty.csv"),
        ("has no column 'body'. Its columns: 'text', 'label'", "--file", "data/example.csv"),
        (
            "column 'stars' has a third label, '0'. Only '2' (positive)",
            "--file",
            NAME,
            "--positive-label",
            "2",
        ),
        (f"There is no model version {missing}", "--file", NAME, "--model", missing),
        ("Missing option '--file' (env var: 'FILE')",),
    ):
        assert message in call.fail(evaluate_file.main, *arguments)
    assert len(runs()) == 1
