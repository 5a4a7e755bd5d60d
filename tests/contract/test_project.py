"""A finished project is moved, or gets texts and another model."""

import csv
import json
import re
import shutil
import textwrap
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from tests.conftest import copy_project, runs, use_store
from tests.contract import names
from tests.contract.conftest import Commands, assert_whole
from tests.project import ROOT, Project

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


def move(project: Project, path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Move a project to another folder, and return it there."""
    shutil.move(project.path, path)
    return use_store(Project(path), monkeypatch)


def test_a_moved_folder_works_after_the_lines_of_the_page(
    pipeline_copy: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pipeline_copy.path
    moved = move(pipeline_copy, tmp_path / "elsewhere", monkeypatch)
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    lines = re.search(r"\n    old=.*\n((?: {4}.*\n)+)", page)
    assert lines is not None
    moved.run("bash", "-ec", f"old={old}\n{textwrap.dedent(lines[1])}")
    (run,) = runs()
    assert_whole(run)
    assert run.info.run_id in moved.run(*names.SYNC)


@pytest.fixture(scope="module")
def own_linear_once(pipeline_once: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Return a project whose pipeline has run with the preset `linear`, on a table of texts."""
    project = copy_project(pipeline_once.project, tmp_path_factory.mktemp("own") / "project")
    texts = [("fine", "yes"), ("awful", "no"), ("passable", "so-so")]
    rows = [(f"{word} text {number}", label) for number in range(60) for word, label in texts]
    with (project.path / "own.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "liked"), *rows])
    commands = Commands(project)
    commands.run("preset", *names.PRESET, "linear")
    commands.run("dataset", *names.DATASET, "own.csv", "--label", "liked")
    project.change(pad={"num_words": 450, "max_length": 40}, train={"batch_size": 8, "epochs": 8})
    commands.run("repro", *names.REPRO)
    return commands


@pytest.fixture
def champions_run(own_linear_once: Commands, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the run of the champion of one's own texts."""
    use_store(own_linear_once.project, monkeypatch)
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("own-sentiment", "champion")
    return client.get_run(str(version.run_id))


def test_ones_own_texts_go_through_the_same_pipeline(
    champions_run: Run,
) -> None:
    assert champions_run.data.params["fetch.table.text"] == "body"
    assert champions_run.data.metrics["test_f1"] == 1
    assert_whole(champions_run, int(champions_run.data.params["train.epochs"]))
    labels = mlflow.artifacts.load_text(f"runs:/{champions_run.info.run_id}/labels.csv")
    assert [line.split(",")[0] for line in labels.splitlines()[1:]] == ["no", "so-so", "yes"]


def test_more_than_two_labels_have_macro_f1_and_all_their_probabilities(
    own_linear_once: Commands,
) -> None:
    assert "Test Accuracy: 1.0000\nTest macro F1: 1.0000\n" in own_linear_once.printed["repro"]
    project = own_linear_once.project
    assert json.loads((project.path / names.METRICS).read_bytes())["test_f1"] == 1
    _, line, *_ = project.run(*names.PREDICT, "fine").splitlines()
    assert re.fullmatch(r"All labels: yes 0\.\d{4}, (no|so-so) 0\.\d{4}, (no|so-so) 0\.\d{4}", line)
