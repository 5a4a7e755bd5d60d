"""`sentiment evaluate-file FILE`: labeled texts are evaluated beside a version's test set."""

import csv
import stat
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from extras.common.prediction_log import LogLine
from stages.evaluate import text_lookup
from tests.conftest import Command, runs
from tests.project import MODEL, Project
from workflow import files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("project")]
VERSION = f"models:/{MODEL}/1"
OPERATIONS = f"{MODEL} operations"


def write_table(name: str, rows: Sequence[Sequence[str]]) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_test_set(name: str) -> list[str]:
    """Write the test set of the project in the working directory, and return its texts."""
    reviews = files.read_reviews(files.FETCH, "test")
    texts = text_lookup(reviews)(range(len(reviews)))
    rows = zip(texts, ("5.0" if label else "1" for label in reviews.labels), strict=True)
    write_table(name, [["body", "stars"], *rows])
    return texts


def write_log(**probabilities: float) -> None:
    """Write a log with the probability of positive for each id, without a part after `__`."""
    Path("log").mkdir()
    lines = [
        LogLine(
            version=VERSION,
            request_id=name.partition("__")[0],
            words=8,
            unknown_share=0.25,
            truncated=False,
            label="positive" if probability > 0.5 else "negative",
            probabilities={"negative": 1 - probability, "positive": probability},
            text=f"the text of {name}",
        ).model_dump_json()
        for name, probability in probabilities.items()
    ]
    Path("log", "2026-01-02.jsonl").write_text("\n".join(lines))


def artifact(name: str) -> Path:
    """Return the path of an artifact of the only run of operations."""
    (run,) = runs(OPERATIONS)
    return Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/{name}"))


def test_test_set_as_a_file_has_the_metrics_of_the_evaluation(sentiment: Command) -> None:
    texts = write_test_set("reviews.csv")
    columns = ("--text-column", "body", "--label-column", "stars", "--positive-label", "5")
    printed = sentiment("evaluate-file", "reviews.csv", *columns)
    assert f"{VERSION} on reviews.csv: 200 texts" in printed
    (run,) = runs(OPERATIONS)
    evaluated = files.read_json(files.TEST_METRICS_FILE)
    assert run.data.metrics.keys() == evaluated.keys() - {
        "word_gradient_reach",
        "word_gradient_reach_initial",
        "test_accuracy_unseen",
    }
    for name, value in run.data.metrics.items():
        assert value == pytest.approx(evaluated[name]), name
    accuracy = next(line for line in printed.splitlines() if line.strip().startswith("accuracy"))
    _, here, *interval, test_set, low, to, high = accuracy.split()
    assert (here, interval) == (test_set, [low, to, high])
    assert float(here) == pytest.approx(evaluated["test_accuracy"], abs=1e-4)

    version = mlflow.MlflowClient().get_model_version(MODEL, "1")
    inputs = mlflow.get_run(run.info.run_id).inputs  # a search does not return models
    assert inputs is not None
    assert [used.model_id for used in inputs.model_inputs] == [
        str(version.source).removeprefix("models:/")
    ]
    assert run.data.params["positive"] == "5"
    names = {found.path for found in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    plots = {"roc.png", "reliability.png", "confusion.png", "lengths.png"}
    assert names == plots | {"predictions.csv", "mistakes.csv"}
    mistakes = pd.read_csv(artifact("mistakes.csv"))
    assert [texts[number - 1] for number in mistakes["review"]] == mistakes["text"].tolist()


def test_texts_of_wrong_predictions_are_private(project: Project, sentiment: Command) -> None:
    write_table("two.csv", [["text", "label"], ["=zebra good", "positive"], ["=zebra bad", "no"]])
    sentiment("evaluate-file", "two.csv")
    holding = [
        path
        for path in project.path.rglob("*")
        if path.is_file() and path.name != "two.csv" and b"zebra" in path.read_bytes()
    ]
    assert [path.name for path in holding] == ["mistakes.csv"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert '" =zebra' in holding[0].read_text()  # no spreadsheet takes it for a formula


def test_texts_are_not_logged_without_log_texts(project: Project, sentiment: Command) -> None:
    project.change(evaluate={"log_texts": False})
    write_table("two.csv", [["text", "label"], ["zebra good", "positive"], ["zebra bad", "no"]])
    sentiment("evaluate-file", "two.csv")
    assert "text" not in pd.read_csv(artifact("mistakes.csv"))


def test_labels_are_joined_to_a_log(sentiment: Command) -> None:
    write_log(a=0.9, b=0.1, b__again=0.1, c=0.6, two=0.2, two__other=0.8)
    labels = [("a", "positive"), ("b", "no"), ("c", "no"), ("two", "no"), ("gone", "no")]
    write_table("labels.csv", [["request_id", "label"], *labels])
    printed = sentiment("evaluate-file", "labels.csv", "--log", "log")
    assert "3 of 5 ids have exactly one prediction by the version. Left out: two, gone" in printed
    predictions = pd.read_csv(artifact("predictions.csv")).set_index("request_id")
    assert predictions["predicted"].to_dict() == {"a": "positive", "b": "negative", "c": "positive"}
    assert predictions["unknown_words"].tolist() == [2, 2, 2]
    assert pd.read_csv(artifact("mistakes.csv"))["text"].tolist() == ["the text of c"]


def test_id_with_both_labels_is_refused(sentiment: Command) -> None:
    write_log(a=0.9)
    write_table("labels.csv", [["request_id", "label"], ["a", "positive"], ["a", "no"]])
    printed = sentiment.fail("evaluate-file", "labels.csv", "--log", "log")
    assert "The id a has both labels" in printed


def test_log_needs_predictions_for_both_labels(sentiment: Command) -> None:
    write_log(a=0.9)
    write_table("labels.csv", [["request_id", "label"], ["a", "positive"], ["b", "no"]])
    printed = sentiment.fail("evaluate-file", "labels.csv", "--log", "log")
    assert f"exactly one prediction by {VERSION} for 1 of 2 ids" in printed
    assert not runs(OPERATIONS)
