"""A finished project that is moved, loses its store, changes its code or gets another model."""

import csv
import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from tests.conftest import runs, use_store
from tests.contract import names
from tests.contract.conftest import TEXT, Story, artifacts, assert_whole
from tests.project import Project

pytestmark = pytest.mark.slow


def test_a_folder_that_was_moved_works(
    finished_story: Story, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(project.path, tmp_path / "elsewhere")
    moved = Project(tmp_path / "elsewhere")
    use_store(moved, monkeypatch)
    assert moved.read(*names.PREDICT, TEXT) == finished_story.printed["predict"]
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


def test_a_version_predicts_as_when_it_was_registered(
    finished_story: Story, project: Project
) -> None:
    (tokenizer,) = (project.path / "sentiment").rglob("tokenizer.py")
    code = tokenizer.read_text(encoding="utf-8")
    assert "SEPARATORS = '" in code
    tokenizer.write_text(code.replace("SEPARATORS = '", "SEPARATORS = 'aeiou"), encoding="utf-8")
    assert project.read(*names.PREDICT, TEXT) == finished_story.printed["predict"]


@pytest.fixture(scope="module")
def own_linear_once(finished_story: Story, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose pipeline has run with the preset `linear`, on a table of texts."""
    project = finished_story.project.copy(tmp_path_factory.mktemp("own") / "project")
    texts = [("fine", "yes"), ("awful", "no"), ("passable", "so-so")]
    rows = [(f"{word} text {number}", label) for number in range(60) for word, label in texts]
    with (project.path / "own.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "liked"), *rows])
    project.run(*names.PRESET, "linear")
    project.run(*names.DATASET, "own.csv", "--label", "liked")
    project.change(
        pad={"num_words": 450, "max_length": 40},
        train={"batch_size": 8},
    )
    project.run(*names.REPRO)
    return project


@pytest.fixture
def champions_run(own_linear_once: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the run of the champion of one's own texts."""
    use_store(own_linear_once, monkeypatch)
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("own-sentiment", "champion")
    return client.get_run(str(version.run_id))


def test_ones_own_texts_go_through_the_same_pipeline(
    own_linear_once: Project, champions_run: Run
) -> None:
    assert champions_run.data.params["fetch.table.text"] == "body"
    assert champions_run.data.metrics["test_f1"] == 1
    assert_whole(champions_run, 3)
    assert own_linear_once.read(*names.PREDICT, "a passable text").startswith("so-so, probability")


def test_an_untracked_table_is_named_with_what_keeps_it(own_linear_once: Project) -> None:
    printed = own_linear_once.run(*names.REPRO)
    assert "Neither git nor DVC tracks own.csv: dvc add own.csv" in printed


def test_a_model_is_not_registered_with_texts_that_it_was_not_trained_on(
    own_linear_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = own_linear_once.copy(tmp_path / "project")
    use_store(project, monkeypatch)
    client = mlflow.MlflowClient()
    client.delete_model_version("own-sentiment", "1")
    texts = project.path / "own.csv"
    edited = texts.read_text(encoding="utf-8").replace("fine", "lovely")
    texts.write_text(edited, encoding="utf-8")
    project.run("dvc", "repro", "fetch")
    printed = project.fail(*names.SYNC)
    assert printed.splitlines()[-1] == (
        "Error: data/pad was made from another data/fetch than the present one. Run `dvc repro`."
    )
    assert client.search_model_versions("name = 'own-sentiment'") == []


def test_the_linear_model_is_a_preset(champions_run: Run) -> None:
    assert champions_run.data.params["train.architecture"] == "linear"
