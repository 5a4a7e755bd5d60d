"""A run is reproduced in a worktree, and a result that differs is noticed."""

import mlflow
import pytest

from sentiment.project.paths import Project
from sentiment.reproduce.comparison import DIFFERS, EQUAL, Reproduction
from tests.conftest import Command, copy_project, runs, use_store
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow
REPRODUCE = ("python", "-m", "sentiment", "reproduce")


@pytest.fixture(scope="module")
def recorded(clone: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Return a project in which DVC has run the pipeline, with other params than the committed."""
    project = copy_project(clone, tmp_path_factory.mktemp("recorded") / "project")
    project.change(train={"units": 3})
    project.run("dvc", "repro", "--quiet")
    return project


@pytest.mark.pipeline
def test_a_run_is_reproduced_to_the_bit(recorded: ProjectCopy) -> None:
    before = recorded.contents("data")
    printed = recorded.run(*REPRODUCE)
    assert "All compared results are the same, bit for bit." in printed
    assert printed.count(" equal\n") == 4
    assert "Epoch 2/2" in printed  # it was trained, and not taken from DVC's cache
    assert recorded.contents("data") == before
    assert recorded.run("git", "worktree", "list").count("\n") == 1


@pytest.mark.pipeline
def test_another_result_is_noticed(recorded: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    use_store(recorded, monkeypatch)
    (run,) = runs()
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/params.yaml")
    assert "seed: 42" in text
    client = MlflowClient()
    client.log_text(run.info.run_id, text.replace("seed: 42", "seed: 43"), "params.yaml")
    try:
        printed = recorded.fail(*REPRODUCE, run.info.run_id[:8])
    finally:
        client.log_text(run.info.run_id, text, "params.yaml")
    assert "data/pad                       equal" in printed
    assert "data/train                     DIFFERS" in printed
    assert "Test accuracy 0." in printed


def test_the_params_of_a_run_are_written(project: ProjectCopy, sentiment: Command) -> None:
    (run,) = runs()
    project.change(train={"units": 9}, evaluate={"threshold": 0.25})
    printed = sentiment("reproduce", "--params", run.info.run_id[:8])
    assert "train.units: 9 -> 4" in printed
    assert "evaluate.threshold: 0.25 -> 0.5" in printed
    assert "has these values already" in sentiment("reproduce", "--params")


def test_a_run_without_the_lock_of_dvc_says_what_it_lacks(
    project: ProjectCopy, sentiment: Command
) -> None:
    assert Project.here().run_file.exists()
    printed = sentiment.fail("reproduce")
    assert "lacks what it takes to run it again: the artifact dvc.lock" in printed
    assert project.path.exists()


def test_one_result_that_differs_is_enough() -> None:
    for states, is_equal in (({"a": EQUAL, "b": DIFFERS}, False), ({"a": EQUAL}, True)):
        assert Reproduction(states, {}, (0.5, 0.5)).is_equal is is_equal
