"""`make seeds` trains each seed once and logs means and standard deviations to a parent run."""

import json
import re
import shutil

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from extras.seeds import __main__ as seeds
from extras.seeds.group import SeedGroup, SeedRun, format_group
from tests.conftest import Caller, run_stages, runs
from tests.project import Project
from workflow import dvc_commands

pytestmark = pytest.mark.slow
NAME = "lstm-6 · len 40 · synthetic"


def find_parent() -> Run:
    (parent,) = [run for run in runs() if "seeds.key" in run.data.tags]
    return parent


def children() -> dict[int, Run]:
    """Return the child runs, by seed."""
    query = f"tags.`mlflow.parentRunId` = '{find_parent().info.run_id}'"
    trained = mlflow.MlflowClient().search_runs(["1"], query)
    return {int(run.data.params["train.seed"]): run for run in trained}


def listed(project: Project) -> set[str]:
    """Return the names of all DVC experiments."""
    return {*project.read("dvc", "exp", "list", "--all-commits", "--name-only").split()}


@pytest.mark.usefixtures("group")
def test_parent_run_has_metrics_of_its_child_runs() -> None:
    parent = find_parent()
    by_seed = children()
    assert sorted(by_seed) == [42, 43]
    accuracies = [by_seed[seed].data.metrics["test_accuracy"] for seed in (42, 43)]
    expected = {
        "mean": pytest.approx(np.mean(accuracies)),
        "sd": pytest.approx(np.std(accuracies, ddof=1)),
        "min": min(accuracies),
        "max": max(accuracies),
    }
    for name, value in expected.items():
        assert parent.data.metrics[f"test_accuracy_{name}"] == value
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == f"2 seeds · {NAME}"
    assert parent.data.params["train.units"] == "6"
    assert "train.seed" not in parent.data.params
    assert json.loads(parent.data.tags["seeds.runs"]) == {
        str(seed): run.info.run_id for seed, run in by_seed.items()
    }


def test_finished_experiments_are_reused_and_lost_runs_are_logged_again(
    group: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert children()[42].info.run_id == group.run_id
    before = [run.to_dictionary() for run in runs()]
    monkeypatch.setattr(dvc_commands, "run_dvc", None)  # so that a training would fail
    call(seeds.main, "--count", "2")
    assert [run.to_dictionary() for run in runs()] == before
    lost = children()[43]
    mlflow.delete_run(lost.info.run_id)
    call(seeds.main, N="2")
    logged_again = children()[43]
    assert logged_again.info.run_id != lost.info.run_id
    assert logged_again.data.tags["training.id"] == lost.data.tags["training.id"]
    assert logged_again.info.start_time == lost.info.start_time


def test_each_seed_is_trained_once_as_an_experiment_and_printed(
    grouped: Project, group: Project
) -> None:
    output = grouped.path.with_name("output").read_text(encoding="utf-8")
    assert output.count("Running stage 'train'") == 1  # the first seed was trained before
    printed = json.loads(output.splitlines()[-1])
    parent = find_parent()
    by_seed = children()
    assert (printed["run_id"], printed["name"]) == (parent.info.run_id, f"2 seeds · {NAME}")
    mean = parent.data.metrics["test_accuracy_mean"]
    assert printed["metrics"]["test_accuracy_mean"] == pytest.approx(mean)
    assert [training["seed"] for training in printed["trainings"]] == [42, 43]
    for training in printed["trainings"]:
        run = by_seed[training["seed"]]
        assert training["run_id"] == run.info.run_id
        assert training["experiment"] in listed(group)
        assert training["metrics"]["test_accuracy"] == run.data.metrics["test_accuracy"]


def test_training_that_fails_is_one_message_and_leaves_the_group(
    group: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listed(group)
    monkeypatch.setattr(dvc_commands, "run_dvc", lambda *_: 1)
    message = call.fail(seeds.main, "--count", "3")
    assert (
        "The training of seed 44 failed, see above. Fix that, and run `make seeds` again" in message
    )
    assert listed(group) == before
    assert sorted(children()) == [42, 43]


def test_more_seeds_share_the_parent_run(group: Project, call: Caller) -> None:
    """Train the third seed in this process, and save it as the experiment that DVC would make."""
    parent_id = find_parent().info.run_id
    (name,) = {name for name in listed(group) if name.endswith("-43")}
    group.change(train={"seed": 44})
    run_stages(group)
    group.run("dvc", "exp", "save", "--name", name.replace("-43", "-44"))
    group.change(train={"seed": 42})
    printed = call.json(seeds.main, "--count", "3")
    parent = find_parent()
    assert printed["run_id"] == parent.info.run_id == parent_id
    assert printed["name"] == parent.info.run_name == f"3 seeds · {NAME}"
    assert sorted(children()) == [42, 43, 44]


def test_lost_files_do_not_remove_an_experiment(group: Project, call: Caller) -> None:
    before = listed(group)
    shutil.rmtree(group.path / ".dvc" / "cache")
    group.run("dvc", "remote", "add", "--default", "shared", "http://127.0.0.1:1/data")
    message = call.fail(seeds.main, "--count", "2")
    assert re.search(r"^DVC's cache lacks files of (seeds-\w+-42),.*dvc exp remove \1$", message)
    assert listed(group) == before


def test_table_lists_the_runs_and_the_metrics_that_all_of_them_have() -> None:
    runs = [
        SeedRun(1, "seeds-1", "run-1", {}, {"test_accuracy": 0.8, "test_f1": 0.5}),
        SeedRun(2, "seeds-2", "run-2", {}, {"test_accuracy": 0.9}),  # F1 is not defined
    ]
    printed = format_group(SeedGroup("2 seeds", "key", runs), "parent")
    assert re.search(r"^ +2 +0\.9000  run-2  seeds-2$", printed, re.MULTILINE)
    assert "accuracy 0.8500 ± 0.0707" in printed
    assert "F1" not in printed
