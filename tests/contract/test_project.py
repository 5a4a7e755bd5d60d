"""A finished project that is moved, loses its store, changes its code or gets another model."""

import csv
import shutil
from pathlib import Path

import mlflow
import pytest

from tests.contract import names
from tests.contract.conftest import EPOCHS, artifacts, assert_whole, runs, use
from tests.project import Project

pytestmark = pytest.mark.slow
TEXT = "The plot was not dull."


def test_a_folder_that_was_moved_works(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(project.path, tmp_path / "elsewhere")
    moved = Project(tmp_path / "elsewhere")
    use(moved, monkeypatch)
    assert "positive" in moved.read(*names.PREDICT, TEXT)
    (run,) = runs()
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(tmp_path))
    assert list(Path(path).rglob("predictions.csv"))
    assert "accuracy.png" in artifacts(run)
    assert "Data and pipelines are up to date." in moved.run(*names.REPRO)


def test_a_lost_store_is_made_again_from_the_files(project: Project) -> None:
    (lost,) = runs()
    for path in project.path.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree("mlruns")
    project.run(*names.SYNC)
    # MLflow still has the lost file open: another name of the same path makes it open the new one.
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/./mlflow.db")
    (run,) = runs()
    assert_whole(run)
    assert run.data.params == lost.data.params
    assert run.data.metrics["test_accuracy"] == lost.data.metrics["test_accuracy"]


def test_a_version_predicts_as_when_it_was_registered(project: Project) -> None:
    before = project.read(*names.PREDICT, TEXT)
    (tokenizer,) = (project.path / "sentiment").rglob("tokenizer.py")
    code = tokenizer.read_text(encoding="utf-8")
    assert "SEPARATORS = '" in code
    tokenizer.write_text(code.replace("SEPARATORS = '", "SEPARATORS = 'aeiou"), encoding="utf-8")
    assert project.read(*names.PREDICT, TEXT) == before


def test_the_linear_model_is_a_preset(project: Project) -> None:
    project.run(*names.PRESET, "linear")
    project.change(pad={"num_words": 450, "max_length": 40}, train={"batch_size": 32})
    project.run(*names.REPRO)
    run, lstm = runs()
    assert run.data.params["train.architecture"] == "linear"
    assert_whole(run, 3)
    paths = [each.data.tags["implementation"] for each in (run, lstm)]
    assert (paths[0].startswith("stock Keras"), paths[1]) == (True, "fast LSTM")


def test_ones_own_texts_go_through_the_same_pipeline(project: Project) -> None:
    texts = [("fine", "yes"), ("awful", "no")]
    rows = [(f"{word} text {number}", label) for number in range(60) for word, label in texts]
    with (project.path / "own.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "liked"), *rows])
    table = {"train": "own.csv", "test": "own.csv", "text": "body", "label": "liked"}
    project.change(
        fetch={"dataset": "table", "table": {**table, "positive": "yes"}}, train={"batch_size": 8}
    )
    project.run(*names.REPRO)
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("own-sentiment", "champion")
    assert_whole(client.get_run(str(version.run_id)), EPOCHS)
