"""`make sweep`: trials as runs, exactly as many as asked for, the best one written back."""

import json

import mlflow
import pytest
from optuna.trial import TrialState

from extras.sweep import __main__ as sweep
from extras.sweep import study
from extras.sweep.confirmed_trials import SEED
from tests.conftest import Caller, epochs, runs
from tests.extras.sweep.conftest import (
    change_config,
    checkpoint_keys,
    children,
    parent,
    require_curve_of_stage,
    trials,
)
from tests.project import Project

pytestmark = pytest.mark.slow


def test_each_trial_is_a_run_of_its_params_and_curve_without_model_and_test_set(
    project: Project, finished: Project
) -> None:
    assert len(children()) == 2 + 2
    for run, trial in zip(children()[:2], trials(), strict=True):
        for name, value in study.values_of(trial).items():
            assert run.data.params[name] == str(value)
        pruned = trial.state == TrialState.PRUNED
        assert run.info.status == ("KILLED" if pruned else "FINISHED")
        assert ("sweep.pruned" in run.data.tags) == pruned
        assert epochs(run.info.run_id) == ([1] if pruned else [1, 2])
        if not pruned:
            assert run.data.metrics["val_accuracy"] == trial.value
    for run in children():
        assert not [name for name in run.data.metrics if name.startswith("test")]
        assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)
        assert not (run.outputs and run.outputs.model_outputs)
    assert project.contents("data") == finished.contents("data")
    assert project.read("git", "status", "--porcelain") == ""  # neither params.yaml nor a lock
    assert checkpoint_keys(project) == checkpoint_keys(finished)  # a trial's is removed


@pytest.mark.usefixtures("project")
def test_table_is_in_the_parent_run() -> None:
    table = mlflow.artifacts.load_text(f"{parent().info.artifact_uri}/table.txt")
    assert table.startswith("The best by val_accuracy, and means with further seeds")


@pytest.mark.usefixtures("project")
def test_applied_winner_gives_its_curve_again_to_the_same_bits_and_is_still_the_same_sweep(
    call: Caller,
) -> None:
    document = json.loads(call(sweep.main, "--apply", "--json").splitlines()[-1])
    (winner,) = document["confirmed"]
    again = trials("-confirmed")
    assert [trial.user_attrs["values"][SEED] for trial in again] == [43, 44]
    assert winner["seed_values"] == [trial.value for trial in again]
    complete = [trial.value for trial in trials() if trial.state == TrialState.COMPLETE]
    assert winner["search_value"] == max(complete)
    require_curve_of_stage(call, children()[winner["trial"]])
    before = len(runs())
    call(sweep.main, "--trials", "2")
    assert len(runs()) == before


@pytest.mark.usefixtures("project")
def test_child_run_that_a_killed_process_left_running_ends_with_the_sweep(call: Caller) -> None:
    client = mlflow.MlflowClient()
    tags = {"mlflow.parentRunId": parent().info.run_id}
    left = client.create_run("1", tags=tags).info.run_id
    call(sweep.main, "--trials", "2")
    assert client.get_run(left).info.status == "KILLED"


def test_reviews_of_other_params_and_damaged_ones_are_one_message(
    project: Project, call: Caller
) -> None:
    reviews = project.path / "data/fetch/train_tokens.npy"
    reviews.write_bytes(reviews.read_bytes()[:-1])
    assert "differs from what the stage wrote" in call.fail(sweep.main)
    project.change(fetch={"synthetic": {"seed": 5}})
    assert "data/fetch has other reviews" in call.fail(sweep.main)


def test_sweep_with_values_that_never_work_says_why(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.change(train={"cell": "gru"})
    change_config(project, space={"train.forget_bias": {"choices": [2.0, 3.0]}})
    arguments = ["--trials", "3", "--workers", "1"]
    assert sweep.main.main(arguments, standalone_mode=False) == 1
    printed, errors = capfd.readouterr()
    assert "The first trial that failed: " in printed
    assert "train.forget_bias" in printed
    assert "APPLY=1" not in printed
    assert "Traceback" not in errors
