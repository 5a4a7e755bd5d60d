"""A user changes params, and runs experiments."""

import re
import shlex

import mlflow
import pytest

from tests.conftest import runs
from tests.contract import names
from tests.contract.conftest import PASSWORD, Commands, assert_whole
from tests.small_project import ROOT, ProjectCopy

pytestmark = pytest.mark.slow


def executed(printed: str) -> list[str]:
    """Return the stages that DVC ran."""
    lines = [line for line in printed.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def test_a_changed_param_reruns_what_depends_on_it(
    pipeline_once: Commands, experiments: Commands
) -> None:
    assert executed(experiments.printed["five units"]) == ["train", "evaluate"]
    assert experiments.digests["five units"] != pipeline_once.digests["repro"]


def test_earlier_params_restore_their_result_without_training(
    pipeline_once: Commands, experiments: Commands
) -> None:
    assert "Epoch 1/2" not in experiments.printed["four units again"]
    assert experiments.digests["four units again"] == pipeline_once.digests["repro"]


@pytest.mark.usefixtures("experiments")
def test_each_training_is_one_whole_run() -> None:
    assert [run.data.params["train.units"] for run in runs()] == ["6", "5", "4"]
    for run in runs():
        assert_whole(run)


def test_a_store_that_is_away_fails_the_stage_with_one_message_without_its_password(
    experiments: Commands,
) -> None:
    printed = experiments.printed["store away"]
    assert printed.count("train: The MLflow server at http://127.0.0.1:9 does not answer") == 1
    assert "Epoch 1/2" not in printed
    assert PASSWORD not in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("experiments")
def test_the_run_of_an_experiment_has_its_name() -> None:
    found = {run.data.tags.get("dvc.experiment"): run.data.params["train.units"] for run in runs()}
    assert found == {"six": "6", None: "4"}


def test_a_clone_without_results_has_the_views_of_dvc(fresh: ProjectCopy) -> None:
    assert not (fresh.path / "dvc.lock").exists()
    assert "workspace" in fresh.run("dvc", "exp", "show", "--no-pager")
    fresh.run("dvc", "metrics", "diff")


def test_the_readmes_table_of_experiments_has_param_and_accuracy_in_80_columns(
    experiments: Commands,
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^ {4}(dvc exp show .*)$", readme, re.MULTILINE)
    assert command is not None
    printed = experiments.project.run(*shlex.split(command[1]), COLUMNS="80")
    header = next(line for line in printed.splitlines() if "Experiment" in line)
    assert header.split() == ["Experiment", "test_accuracy", "train.units"]


def test_an_applied_experiment_is_up_to_date_and_has_its_run(experiments: Commands) -> None:
    assert "Data and pipelines are up to date." in experiments.printed["after apply"]
    (run,) = (run for run in runs() if run.data.params["train.units"] == "6")
    metrics = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{names.METRICS_ARTIFACT}")
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
