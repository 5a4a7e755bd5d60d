"""`sentiment score`: each row is predicted and, with labels, evaluated.

The test set itself, as a file, must have the predictions and the metrics of the evaluation.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sentiment.evaluation.results import rebuild_texts
from sentiment.project.files.arrays import read_reviews
from sentiment.project.files.documents import read_json
from sentiment.project.files.paths import Project
from sentiment.score import predictions
from sentiment.tracking.evaluations import read_predictions
from tests.command import Command
from tests.logged import runs
from tests.small_project import MODEL, ProjectCopy, enter

pytestmark = pytest.mark.slow
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
def test_metrics_are_those_of_the_evaluation_with_intervals() -> None:
    printed = Path("printed").read_text()
    assert f"models:/{MODEL}/1 on texts.csv: 200 rows\n" in printed
    evaluated = read_json(Project.here().evaluated / "metrics.json")
    rows = [line.split() for line in printed.splitlines()]
    for title, name in (("accuracy", "accuracy"), ("recall", "recall"), ("F1", "f1")):
        row = next(row for row in rows if row[:1] == [title])
        value, low, to, high = row[1:]
        assert value == f"{evaluated[f'test_{name}']:.4f}"
        assert to == "to"
        assert low < value < high
    assert "unseen" not in printed


@pytest.mark.usefixtures("scored")
def test_a_score_makes_no_run() -> None:
    assert len(runs()) == 1


@pytest.mark.usefixtures("scored")
def test_a_run_is_scored_and_compared_with_the_champion(sentiment: Command) -> None:
    (run,) = runs()
    named = ("--model", run.info.run_id[:8], "--against", "champion")
    printed = sentiment(*COMMAND, "--label-column", "label", *named)
    assert f"run {run.info.run_id} on texts.csv: 200 rows\n" in printed
    assert f"Compared with models:/{MODEL}/1:\n" in printed
    accuracy = run.data.metrics["test_accuracy"]
    assert f"accuracy {accuracy:.4f}, there {accuracy:.4f}: +0.00 points of accuracy" in printed


def test_a_version_is_named_whatever_the_dataset_in_the_params(
    project: ProjectCopy, sentiment: Command
) -> None:
    promote()
    project.change(fetch={"dataset": "imdb"})
    Path("one.csv").write_text("text\nKettle\n")
    sentiment("score", "one.csv", "--out", "one.parquet", "--model", f"models:/{MODEL}/1")
    assert len(pd.read_parquet("one.parquet")) == 1


def test_no_text_is_written_anywhere(project: ProjectCopy, sentiment: Command) -> None:
    promote()
    Path("two.csv").write_text("text,label\n=zebra,positive\n=zebra,negative\n")
    sentiment("score", "two.csv", "--label-column", "label", "--out", "two.parquet")
    holding = [
        path.name
        for path in project.path.rglob("*")
        if path.is_file() and b"zebra" in path.read_bytes()
    ]
    assert holding == ["two.csv"]


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
        (["--out", "a.csv", "--against", "champion"], 2, "--against compares by labels"),
        (["--id-column", "gone", "--out", "a.csv"], 1, "To read no ids: --id-column ''"),
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
def test_what_cannot_be_scored_is_named(
    sentiment: Command,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    assert message in sentiment(*COMMAND, *arguments, status=status)


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
    partial.write_text("of a call that was killed")
    sentiment(*command)
    assert not partial.exists()
    assert pd.read_csv("out.csv")["row"].tolist() == [*range(1, ROWS + 1)]
