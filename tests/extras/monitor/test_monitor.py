"""`sentiment monitor FILE`: texts are compared with a version's test set."""

import csv
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from extras.common.prediction_log import LogLine
from stages.evaluate import text_lookup
from tests.conftest import Command, runs
from tests.project import MODEL
from workflow import files, versions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("project")]
VERSION = f"models:/{MODEL}/1"
OPERATIONS = f"{MODEL} operations"
UNKNOWN = '=Kettle\rspout, "lid"'


def read_test_texts() -> list[str]:
    """Return the texts of the test set of the project in the working directory."""
    reviews = files.read_reviews(files.FETCH, "test")
    return text_lookup(reviews)(range(len(reviews)))


def write_table(name: str, texts: list[str]) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["body"], *([text] for text in texts)])


def write_log(count: int, version: str = VERSION, cut: int = 0) -> None:
    """Append predictions, which equal those of the test set, to a log, and some that are cut."""
    (version_of_test_set,) = mlflow.MlflowClient().search_model_versions()
    test_set = versions.download_evaluation(str(version_of_test_set.run_id)).predictions
    Path("log").mkdir(exist_ok=True)
    with Path("log", "2026-01-02.jsonl").open("a") as file:
        for row in test_set.iloc[:count].to_dict("records"):
            line = LogLine(
                version=version,
                request_id=f"id-{row['review']}",
                words=row["words"],
                unknown_share=row["unknown_words"] / row["words"],
                truncated=False,
                label=row["predicted"],
                probabilities={
                    name: row[f"probability_{name}"] for name in ("negative", "positive")
                },
            )
            file.write(f"{line.model_dump_json()}\n")
        file.write('{"version": "mo\n' * cut)


def test_test_set_itself_has_no_difference(sentiment: Command) -> None:
    write_table("texts.csv", read_test_texts())
    printed = sentiment("monitor", "texts.csv", "--text-column", "body")
    assert f"texts.csv: 200 texts against the test set of {VERSION}" in printed
    assert "No alarm." in printed
    (run,) = runs(OPERATIONS)
    drift = pd.read_csv(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/drift.csv"))
    assert drift["quantity"].tolist() == ["words", "unknown_share", "probability", "positive"]
    assert drift["difference"].abs().max() < 1e-7


def test_report_of_other_texts_is_an_alarm_and_a_run(sentiment: Command) -> None:
    write_table("other.csv", [UNKNOWN] * 120)
    printed = sentiment(
        "monitor", "other.csv", "--text-column", "body", "--label-sample", "5", status=3
    )
    assert "Alarm: words in a text, share of unknown words" in printed
    (run,) = runs(OPERATIONS)
    assert run.info.status == "FINISHED"
    assert run.data.tags["monitor.status"] == "alarm"
    means = {"words": 2, "unknown_share": 1, "texts": 120, "alarm": 1}
    assert means.items() <= run.data.metrics.items()
    version = mlflow.MlflowClient().get_model_version(MODEL, "1")
    inputs = mlflow.get_run(run.info.run_id).inputs  # a search does not return models
    assert inputs is not None
    assert [used.model_id for used in inputs.model_inputs] == [
        str(version.source).removeprefix("models:/")
    ]
    artifacts = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    assert {artifact.path for artifact in artifacts} == {"drift.csv", "drift.png"}
    (label_file,) = Path("reports").iterdir()
    assert label_file.stat().st_mode & 0o777 == 0o600
    with label_file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["text", "label"], *[[f" {UNKNOWN}", ""]] * 5]


def test_log_is_compared_by_its_predictions(sentiment: Command) -> None:
    write_log(200)
    write_log(7, version=f"models:/{MODEL}/9")
    printed = sentiment("monitor", "log")
    assert "7 lines are predictions of other versions" in printed
    assert "No alarm." in printed
    (run,) = runs(OPERATIONS)
    drift = pd.read_csv(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/drift.csv"))
    assert drift["difference"].abs().max() < 1e-7
    assert "There are 0 texts to label" in sentiment.fail("monitor", "log", "--label-sample", "1")


def test_many_unreadable_lines_are_an_alarm(sentiment: Command) -> None:
    write_log(200, cut=3)
    printed = sentiment("monitor", "log/2026-01-02.jsonl", status=3)
    assert "3 rows or lines cannot be read (1.5%)" in printed
    assert "Alarm: rows that cannot be read." in printed


def test_too_few_texts_raise_no_alarm(sentiment: Command) -> None:
    write_table("few.csv", [UNKNOWN] * 99)
    assert "Fewer than 100 texts" in sentiment("monitor", "few.csv", "--text-column", "body")


def test_log_of_other_versions_names_them(sentiment: Command) -> None:
    other = f"models:/{MODEL}/9"
    write_log(5, version=other)
    printed = sentiment.fail("monitor", "log")
    assert f"log has no prediction of {VERSION}, only of {other} (5)" in printed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes/a.jsonl", "notes is no log of `sentiment serve`: none of its 1 lines"),
        ("notes.jsonl", "it has no column 'text'. Its columns: 'note'"),
    ],
)
def test_other_json_lines_are_no_log(name: str, message: str, sentiment: Command) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"note": "no text"}\n')
    assert message in sentiment.fail("monitor", path.parts[0])
