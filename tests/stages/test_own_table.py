"""A table of one's own texts goes through the same stages, here with the linear model."""

import contextlib
import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.model.linear import VECTOR_TABLE
from sentiment.prediction.keras_classifier import load_keras_model
from sentiment.project.files.documents import read_json
from sentiment.project.files.paths import Project
from sentiment.text.model_files import WEIGHTS_FILE
from tests.command import Command
from tests.logged import curve, runs
from tests.small_project import ProjectCopy, enter, run_stages

pytestmark = pytest.mark.slow
EPOCHS = 8
VECTORS: dict[str, list[float]] = {
    "fine": [1, 0],
    "awful": [0, 1],
    "passable": [0.5, 0.5],
    "absent": [9, 9],
}


class Finished(NamedTuple):
    """A project whose stages have run, and what they printed."""

    project: ProjectCopy
    printed: str


@pytest.fixture(scope="module")
def finished_table(clone: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the stages with the linear model on a table with three labels."""
    project = clone.copy(tmp_path_factory.mktemp("own") / "project")
    texts = [("fine", "yes"), ("awful", "no"), ("passable", "so-so")]
    rows = [
        (f"{word} text {number}", label, f"#{number}" if number % 2 else f"={number}")
        for number in range(60)
        for word, label in texts
    ]
    with (project.path / "own.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "liked", "ref"), *rows])
    lines = [f"{word} {first} {second}\n" for word, (first, second) in VECTORS.items()]
    (project.path / "vectors.txt").write_text("".join(lines), encoding="utf-8")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        enter(project, patch)
        sentiment = Command()
        sentiment("dataset", "own.csv", "--text", "body", "--label", "liked", "--id", "ref")
        small = {"num_words": 450, "max_length": 40, "min_steps": 280}
        unicode = {"table": {"tokenizer": "unicode"}}
        project.change(fetch=unicode, vectors="vectors.txt", model="linear", linear=small)
        with contextlib.redirect_stdout(printed):
            run_stages(project)
    return Finished(project, printed.getvalue())


def test_the_run_of_a_table_is_whole(
    finished_table: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(finished_table.project, monkeypatch)
    (run,) = runs("own-sentiment")
    assert run.data.params["fetch.table.text"] == "body"
    assert run.data.metrics["test_f1"] == 1
    assert len(curve(run.info.run_id, "val_accuracy")) == EPOCHS
    labels = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/labels.csv")
    assert [line.split(",")[0] for line in labels.splitlines()[1:]] == ["no", "so-so", "yes"]
    client = mlflow.MlflowClient()
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"predictions.csv", "accuracy.png", "roc.png"} <= artifacts
    models = client.search_logged_models([run.info.experiment_id])
    states = [(model.name, str(model.status)) for model in models]
    assert states == [("sentiment", "READY")]
    (folder,) = [Path(str(model.artifact_location)) for model in models]
    assert "\nregex\n" in (folder / "requirements.txt").read_text()  # the tokenizer needs it


def test_what_the_stages_chose_for_the_table_is_said_and_logged_and_used(
    finished_table: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = enter(finished_table.project, monkeypatch)
    (run,) = runs("own-sentiment")
    fitted = {
        name.removeprefix("fitted."): value
        for name, value in run.data.params.items()
        if name.startswith("fitted.")
    }
    assert fitted == {"length": "4", "batch_size": "4", "epochs": "8", "ending": "0.0"}
    assert (run.data.params["batch_size"], run.data.params["max_length"]) == ("64", "40")
    for said in ("Rows of 4 tokens", "8 epochs with batches of 4", "No endings"):
        assert said in finished_table.printed
    assert np.load(project.path / "data" / "pad" / "x_test.npy").shape[1] == 4
    assert read_json(project.path / "data" / "train" / "config.json")["layout"]["max_length"] == 4


def test_more_than_two_labels_have_macro_f1_and_all_their_probabilities(
    finished_table: Finished, sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Test Accuracy: 1.0000\nTest macro F1: 1.0000\n" in finished_table.printed
    enter(finished_table.project, monkeypatch)
    assert read_json(Project.here().metrics / "evaluate.json")["test_f1"] == 1
    _, line, *_ = sentiment("predict", "fine").splitlines()
    assert re.fullmatch(r"All labels: yes 0\.\d{4}, (no|so-so) 0\.\d{4}, (no|so-so) 0\.\d{4}", line)


def test_a_token_id_has_the_vector_of_its_word_in_the_arrays_and_in_the_model(
    finished_table: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(finished_table.project, monkeypatch)
    project = Project.here()
    table, x, y = (
        np.load(project.padded / f"{name}.npy") for name in ("vectors", "x_train", "y_train")
    )
    words = np.array(["awful", "passable", "fine"])[y]  # each text has one of them: no, so-so, yes
    np.testing.assert_array_equal(table[x].sum(axis=1), [VECTORS[word] for word in words])
    model = load_keras_model(project.trained / WEIGHTS_FILE)
    (trained,) = model.get_layer(VECTOR_TABLE).get_weights()
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(trained, unit, atol=1e-6)


def test_ids_join_with_the_table_and_those_that_were_changed_are_counted(
    finished_table: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(finished_table.project, monkeypatch)
    predictions = pd.read_csv(Project.here().evaluated / "predictions.csv", dtype={"id": str})
    table = pd.read_csv("own.csv")
    refs = table["ref"].iloc[predictions["row"] - 1].tolist()
    changed = [ref for ref in refs if ref.startswith("=")]
    assert predictions["id"].tolist() == [f" {ref}" if ref in changed else ref for ref in refs]
    assert 0 < len(changed) < len(refs)
    said = f"a spreadsheet would compute them: {len(changed)}. "
    assert said in finished_table.printed


def test_a_champion_of_another_table_of_the_same_name_is_refused_or_named(
    finished_table: Finished, sentiment: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = enter(finished_table.project.copy(tmp_path / "project"), monkeypatch)
    (run,) = runs("own-sentiment")
    sentiment("promote", run.info.run_id)
    version = mlflow.MlflowClient().get_model_version("own-sentiment", "1")
    assert version.tags["table"] == "own.csv"
    assert version.tags["labels"] == '["no", "so-so", "yes"]'
    (project.path / "b").mkdir()
    table = pd.read_csv("own.csv")
    table.assign(liked=table["liked"].replace("so-so", "so")).to_csv("b/own.csv", index=False)
    named = sentiment("dataset", "b/own.csv", "--text", "body", "--label", "liked")
    assert "has runs of own.csv" in named
    command = ("score", "b/own.csv", "--out", "predicted.csv")
    refused = sentiment.fail(*command)
    assert "predicts 'no', 'so-so', 'yes', but b/own.csv has 'no', 'so', 'yes'" in refused
    assert refused == sentiment.fail("serve")
    assert not Path("predicted.csv").exists()
    table.to_csv("b/own.csv", index=False)
    printed = sentiment(*command)
    assert "1 was trained on own.csv, and not on b/own.csv." in printed
    Path("predicted.csv").unlink()
    named = sentiment(*command, "--model", "models:/own-sentiment@champion")
    assert "was trained on" not in named
