"""`sentiment score`: each row is predicted and, with labels, evaluated.

The test set itself, as a file, must have the predictions and the metrics of the evaluation.
"""

import csv
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sentiment.evaluation.results import rebuild_texts
from sentiment.project.arrays import read_reviews
from sentiment.project.documents import read_json
from sentiment.project.paths import Project
from sentiment.score import predictions
from sentiment.tracking.evaluations import read_predictions
from tests.command import Command
from tests.logged import runs
from tests.small_project import MODEL, ProjectCopy, enter

pytestmark = pytest.mark.slow
OPERATIONS = f"{MODEL} operations"
BATCH_ROWS = 64
ROWS = 200  # four batches
COMMAND = ("score", "texts.csv", "--text-column", "body", "--id-column", "review")


def write_test_set() -> None:
    """Write the test set of the project in the working directory to texts.csv."""
    project = Project.here()
    reviews = read_reviews(project.fetched, "test")
    table = pd.DataFrame({"review": range(ROWS)})
    texts = rebuild_texts(reviews, range(ROWS), read_json(project.fetched / "word_index.json"))
    labels = np.array(["negative", "positive"])[reviews.labels]
    with Path("texts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = zip(table["review"], texts, labels, strict=True)
        csv.writer(file).writerows([("review", "body", "label"), *rows])


def promote() -> None:
    """Make the model of the only run the champion."""
    (run,) = runs()
    Command()("promote", run.info.run_id)


def read_evaluated() -> pd.DataFrame:
    """Return the predictions of the evaluation, in the order of texts.csv."""
    return read_predictions(Project.here().evaluated / "predictions.csv").sort_values("row")


@pytest.fixture(scope="module")
def scored_once(
    finished_once: ProjectCopy, tmp_path_factory: pytest.TempPathFactory
) -> ProjectCopy:
    """Copy a finished project, and score its test set with labels."""
    copy = finished_once.copy(tmp_path_factory.mktemp("scored") / "project")
    with pytest.MonkeyPatch.context() as patch:
        enter(copy, patch)
        promote()
        patch.setattr(predictions, "ROWS_AT_ONCE", BATCH_ROWS)
        write_test_set()
        printed = Command()(*COMMAND, "--label-column", "label", "--out", "out.parquet")
        Path("printed").write_text(printed)
    return copy


@pytest.fixture
def scored(scored_once: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Return a project with its scored test set, and make it the working directory."""
    monkeypatch.setattr(predictions, "ROWS_AT_ONCE", BATCH_ROWS)
    return enter(scored_once, monkeypatch)


def scored_run() -> "mlflow.entities.Run":
    """Return the run that scored the test set."""
    return runs(OPERATIONS)[-1]


@pytest.mark.usefixtures("scored")
def test_predictions_are_those_of_the_evaluation() -> None:
    table = pd.read_parquet("out.parquet")
    assert table["row"].tolist() == [*range(1, ROWS + 1)]
    assert table["id"].tolist() == [str(number) for number in range(ROWS)]
    assert table["error"].isna().all()
    evaluated = read_evaluated().rename(columns={"predicted": "label"})
    names = ["probability_negative", "probability_positive", "words", "unknown_words"]
    for name in ("actual", "label", *names):
        np.testing.assert_array_equal(table[name], evaluated[name])


@pytest.mark.usefixtures("scored")
def test_metrics_are_those_of_the_evaluation() -> None:
    printed = Path("printed").read_text()
    assert f"models:/{MODEL}/1 on texts.csv: 200 rows\n" in printed
    run = scored_run()
    logged = run.data.metrics
    evaluated = read_json(Project.here().evaluated / "metrics.json")
    for name in ("test_accuracy", "test_loss", "test_roc_auc", "test_recall"):
        assert logged[name] == pytest.approx(evaluated[name])
    assert "test_accuracy_unseen" not in logged
    recall = next(line for line in printed.splitlines() if line.strip().startswith("recall"))
    assert recall.split()[1] == f"{evaluated['test_recall']:.4f}"
    assert recall.split()[3] == "to"
    labels = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/labels.csv")
    assert pd.read_csv(labels)["recall"].iloc[1] == pytest.approx(evaluated["test_recall"])
    assert printed.count("positive") == 1  # the row of this label
    assert "To look at it, start `make ui`, and open" in printed


@pytest.mark.usefixtures("scored")
def test_call_is_a_run_of_operations() -> None:
    run = scored_run()
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model": f"models:/{MODEL}/1", "file": "texts.csv"}
    assert {"rows": ROWS, "texts": ROWS}.items() <= run.data.metrics.items()
    version = mlflow.MlflowClient().get_model_version(MODEL, "1")
    inputs = mlflow.get_run(run.info.run_id).inputs  # a search does not return models
    assert inputs is not None
    assert [f"models:/{used.model_id}" for used in inputs.model_inputs] == [version.source]


def score_the_same_text_with_both_labels(sentiment: Command) -> Path:
    """Score two rows, one of which is a mistake, and return the file of mistakes."""
    promote()
    Path("two.csv").write_text("text,label\n=zebra,positive\n=zebra,negative\n")
    sentiment("score", "two.csv", "--label-column", "label", "--out", "two.parquet")
    run_id = runs(OPERATIONS)[0].info.run_id
    return Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/mistakes.csv"))


def test_texts_are_in_the_private_file_of_mistakes_alone(
    project: ProjectCopy, sentiment: Command
) -> None:
    mistakes = score_the_same_text_with_both_labels(sentiment)
    assert pd.read_csv(mistakes)["text"].tolist() == [" =zebra"]  # no formula for a spreadsheet
    holding = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in project.path.rglob("*")
        if path.is_file() and b"zebra" in path.read_bytes()
    }
    assert holding.keys() == {"two.csv", "mistakes.csv"}
    assert holding["mistakes.csv"] == 0o600


def test_mistakes_have_no_texts_without_log_texts(project: ProjectCopy, sentiment: Command) -> None:
    project.change(evaluate={"log_texts": False})
    mistakes = pd.read_csv(score_the_same_text_with_both_labels(sentiment))
    assert len(mistakes) == 1
    assert "text" not in mistakes


def test_run_is_in_the_experiment_of_the_version_that_is_named(
    project: ProjectCopy, sentiment: Command
) -> None:
    promote()
    project.change(fetch={"dataset": "imdb"})
    Path("one.csv").write_text("text\nKettle\n")
    sentiment("score", "one.csv", "--out", "one.parquet", "--model", f"models:/{MODEL}/1")
    assert len(runs(OPERATIONS)) == 1


def test_ids_are_in_the_column_in_the_params_unless_another_one_is_named(
    project: ProjectCopy, sentiment: Command
) -> None:
    promote()
    project.change(fetch={"table": {"id": "name"}})
    Path("one.csv").write_text("text,name\nKettle,a1\n")
    for arguments, ids in (((), ["a1"]), (("--id-column", ""), [""])):
        out = Path(f"{len(arguments)}.parquet")
        sentiment("score", "one.csv", "--out", str(out), *arguments)
        assert pd.read_parquet(out)["id"].fillna("").tolist() == ids


@pytest.mark.usefixtures("scored")
def test_the_files_of_a_folder_are_predicted_one_after_the_other(sentiment: Command) -> None:
    folder = Path("many")
    folder.mkdir()
    for day in ("01", "02"):
        (folder / f"{day}.jsonl").write_text('{"text": "Kettle", "name": "=a"}\n' * 60)
    printed = sentiment("score", "many", "--id-column", "name", "--out", "many.csv")
    assert "on many: 120 rows" in printed
    assert (
        "Ids in many.csv that got a space, because a spreadsheet would compute them: 120" in printed
    )
    table = pd.read_csv("many.csv")
    assert table["row"].tolist() == [*range(1, 121)]
    assert set(table["id"]) == {" =a"}  # no formula for a spreadsheet


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Name a file with --out, or a column with --label-column, or both."),
        (["--out", "none/a.csv"], 2, "There is no folder none"),
        (["--out", "texts.csv"], 2, "texts.csv exists. Name another file"),
        (["--out", "a.xlsx"], 2, "a.xlsx does not end in .parquet or .csv"),
        (
            ["--text-column", "gone", "--out", "a.csv"],
            1,
            "texts.csv has no column 'gone'. Its columns: 'review', 'body'",
        ),
    ],
)
def test_what_cannot_be_scored_is_named_and_makes_no_run(
    sentiment: Command,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    before = len(runs(OPERATIONS))
    assert message in sentiment(*COMMAND, *arguments, status=status)
    assert len(runs(OPERATIONS)) == before


@pytest.mark.usefixtures("project")
def test_a_call_that_ends_early_leaves_no_result_and_starts_again(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_in_the_second_batch(*arguments: Any) -> Iterator[pa.Table]:
        yield next(predict_rows(*arguments))
        raise KeyboardInterrupt

    predict_rows = predictions.predict_rows
    promote()
    write_test_set()
    partial = Path("out.csv.partial")
    command = (*COMMAND, "--out", "out.csv")
    monkeypatch.setattr(predictions, "ROWS_AT_ONCE", BATCH_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(predictions, "predict_rows", end_in_the_second_batch)
        assert "Aborted!" in sentiment(*command, status=1)
    assert not Path("out.csv").exists()
    assert not partial.exists()
    assert runs(OPERATIONS) == []
    partial.write_text("of a call that was killed")
    sentiment(*command)
    assert not partial.exists()
    assert pd.read_csv("out.csv")["row"].tolist() == [*range(1, ROWS + 1)]
