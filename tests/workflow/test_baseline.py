"""A user is told if the last commit has the metrics of another machine."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.project import Project
from workflow import files
from workflow.baseline import accuracies_on_two_machines, describe_other_machine, has_other_history


def entry(history: str = "a", model: str = "a", units: int = 64) -> dict[str, Any]:
    """Return the entry of a training in dvc.lock."""
    return {
        "cmd": "python -m stages train",
        "deps": [{"path": "data/pad", "md5": "0"}],
        "params": {"params.yaml": {"train": {"units": units}}},
        "outs": [
            {"path": "data/train", "md5": model},
            {"path": "metrics/history.csv", "md5": history},
        ],
    }


def test_the_same_training_with_other_epochs_is_of_another_machine() -> None:
    assert has_other_history(entry("a"), entry("b"))


def test_the_same_training_with_the_same_epochs_is_of_an_equal_machine() -> None:
    """Its folder is another one, because the key in it names the processor."""
    assert not has_other_history(entry(model="a"), entry(model="b"))


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"params.yaml": {"train": {"units": 32}}}},
        {"deps": [{"path": "data/pad", "md5": "1"}]},
        {"cmd": "python -m stages other"},
    ],
)
def test_another_training_says_nothing_about_the_machine(change: dict[str, Any]) -> None:
    assert not has_other_history(entry("a"), entry("b") | change)


def write_result(train: dict[str, Any] | None, accuracy: float) -> None:
    """Write dvc.lock and the metrics of the test set."""
    stages = {} if train is None else {"train": train}
    YAML().dump({"schema": "2.0", "stages": stages}, files.DVC_LOCK)
    files.METRICS_FOLDER.mkdir(exist_ok=True)
    files.write_json(files.COMPARED_TEST_METRICS_FILE, {"test_accuracy": accuracy})


@pytest.fixture
def repository(in_tmp_path: Path) -> Project:
    """Return a repository whose last commit has a training."""
    project = Project(in_tmp_path)
    project.run("git", "init", "--quiet")
    write_result(entry("a"), 0.8465)
    project.commit()
    return project


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
def test_a_commit_of_another_machine_is_described_with_both_accuracies() -> None:
    write_result(entry("b"), 0.8556)
    accuracies = accuracies_on_two_machines()
    assert accuracies == (0.8465, 0.8556)
    assert "another machine: 0.8465 there, 0.8556 here" in describe_other_machine(*accuracies)


@pytest.mark.slow
def test_a_project_in_a_folder_of_a_repository_is_compared_with_itself(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another project in the root has the epochs that this one has now."""
    folder = repository.path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_result(entry("b"), 0.7)
    repository.commit()
    write_result(entry("a"), 0.8)
    assert accuracies_on_two_machines() == (0.7, 0.8)


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("train", [entry("a"), entry("b", units=32), None])
def test_a_commit_with_the_same_result_or_another_training_needs_no_words(
    train: dict[str, Any] | None,
) -> None:
    write_result(train, 0.8556)
    assert accuracies_on_two_machines() is None


@pytest.mark.slow
def test_a_folder_without_a_commit_needs_no_words(in_tmp_path: Path) -> None:
    write_result(entry("b"), 0.8556)
    assert accuracies_on_two_machines() is None
    assert not (in_tmp_path / ".git").exists()


@pytest.mark.slow
def test_a_commit_with_conflict_markers_needs_no_words(repository: Project) -> None:
    Path("dvc.lock").write_text("a: 1\n<<<<<<< ours\nb: 2\n=======\nb: 3\n", encoding="utf-8")
    repository.commit()
    write_result(entry("b"), 0.8556)
    assert accuracies_on_two_machines() is None
