"""`sentiment seeds` trains each seed once, and logs the means to a parent run."""

import signal
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from extras.seeds import experiments
from sentiment.errors import UserError
from tests.conftest import Command, Sharer, runs, use_store
from tests.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def grouped(finished_once: Project, shared: Sharer) -> Project:
    """Return a project after `sentiment seeds --count 2`. DVC has the outputs of the first seed.

    The output of the command is in the file `output` next to the project.
    """

    def train_seeds(project: Project) -> None:
        project.run("dvc", "commit", "--force")
        project.commit()
        output = project.run(sys.executable, "-m", "cli", "seeds", "--count", "2")
        project.path.with_name("output").write_text(output, encoding="utf-8")

    return shared("seeds", train_seeds, finished_once.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy `grouped` for one test, and make the copy the working directory."""
    return use_store(grouped.copy(tmp_path / "project"), monkeypatch)


def find_parent() -> Run:
    (parent,) = [run for run in runs() if "seeds.digest" in run.data.tags]
    return parent


def children() -> dict[int, Run]:
    """Return the child runs by seed."""
    parent_id = find_parent().info.run_id
    found = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == parent_id]
    return {int(run.data.params["train.seed"]): run for run in found}


def test_each_seed_is_trained_once_and_summarized_in_a_parent_run(
    grouped: Project, finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trained_before,) = runs()
    assert finished.path != grouped.path
    use_store(grouped, monkeypatch)
    output = grouped.path.with_name("output").read_text(encoding="utf-8")
    assert output.count("Running stage 'train'") == 1
    by_seed = children()
    assert sorted(by_seed) == [42, 43]
    assert by_seed[42].info.run_id == trained_before.info.run_id
    parent = find_parent()
    assert parent.info.status == "FINISHED"
    assert parent.data.params["train.units"] == "4"
    assert "train.seed" not in parent.data.params
    accuracies = [run.data.metrics["test_accuracy"] for run in by_seed.values()]
    assert parent.data.metrics["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert parent.data.metrics["test_accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1))
    rows = [line.split() for line in output.splitlines()]
    assert ["test_accuracy", f"{np.mean(accuracies):.4f}"] in [row[:2] for row in rows]


@pytest.mark.usefixtures("group")
def test_second_call_trains_nothing_and_resumes_the_parent_run(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent_id = find_parent().info.run_id
    monkeypatch.delattr(experiments, "run_experiment")
    sentiment("seeds", "--count", "2")
    parent = find_parent()
    assert parent.info.run_id == parent_id
    assert parent.info.status == "FINISHED"
    assert str(parent.info.run_name).startswith("2 seeds · lstm-4")


@pytest.mark.usefixtures("group")
def test_fewer_seeds_than_before_include_those_of_earlier_calls(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.MlflowClient().log_metric(find_parent().info.run_id, "seeds", 3)
    monkeypatch.setattr(experiments, "run_experiment", lambda *_: 1)
    message = sentiment.fail("seeds", "--count", "2")
    assert "Error: The training of seed 44 failed, see above." in message


@pytest.mark.usefixtures("group")
def test_training_that_fails_is_one_message_and_keeps_finished_seeds(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "run_experiment", lambda *_: 1)
    message = sentiment.fail("seeds", "--count", "3")
    assert "Error: The training of seed 44 failed, see above." in message
    assert find_parent().info.status == "FAILED"
    assert sorted(children()) == [42, 43]


@pytest.mark.usefixtures("group")
def test_parent_run_is_running_until_ctrl_c(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []

    def interrupt(*_: object) -> int:
        statuses.append(find_parent().info.status)
        return 128 + signal.SIGINT

    monkeypatch.setattr(experiments, "run_dvc", interrupt)
    sentiment.fail("seeds", "--count", "3")
    assert statuses == ["RUNNING"]
    assert find_parent().info.status == "KILLED"


@pytest.mark.usefixtures("group")
def test_run_that_the_store_lost_is_one_message(sentiment: Command) -> None:
    mlflow.delete_run(children()[43].info.run_id)
    message = sentiment.fail("seeds", "--count", "2")
    name = f"seeds-{find_parent().data.tags['seeds.digest']}-43"
    assert f"dvc exp apply {name} && sentiment sync" in message


def test_digest_changes_with_a_file_that_git_tracks(fresh: Project) -> None:
    before = experiments.project_digest()
    (fresh.path / "notes.txt").touch()
    assert experiments.project_digest() == before
    fresh.change(train={"units": 5})
    assert experiments.project_digest() != before


@pytest.mark.usefixtures("in_tmp_path")
def test_folder_without_a_commit_is_refused() -> None:
    with pytest.raises(UserError, match="DVC starts experiments from a git commit"):
        experiments.project_digest()
