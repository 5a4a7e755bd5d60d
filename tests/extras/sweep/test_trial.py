"""A trial trains to the bits of the stage `train`, whatever else its process does."""

import random
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from mlflow.exceptions import MlflowException
from optuna.exceptions import StorageInternalError

from extras.sweep import study, workers
from extras.sweep.sweep_options import SweepOptions, Values
from extras.sweep.trial import RUN, Task, first_number, own_seeds
from sentiment.backend import load_keras
from sentiment.data import synthetic
from sentiment.data.dataset import settings_used
from sentiment.errors import RunningError
from sentiment.network.batches import Part
from sentiment.network.training import Training
from sentiment.text import Reviews
from tests.conftest import inputs, runs
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import store, training_run
from workflow.runs.logger import RunLogger, guarded


@pytest.fixture
def disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's global generator is drawn from meanwhile, as other threads may do."""
    set_seed = load_keras().utils.set_random_seed

    def disturb(seed: int) -> None:
        set_seed(seed)
        random.random()

    monkeypatch.setattr("keras.utils.set_random_seed", disturb)


def weights(params: Params) -> list["np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    part = Part(np.zeros((1, 10)), np.zeros(1, np.uint8))
    return list(Training(params.train, inputs(50, 10), part, part).model.get_weights())


def test_draws_of_other_threads_change_no_weight(
    small_params: Params, request: pytest.FixtureRequest
) -> None:
    undisturbed = weights(small_params)
    request.getfixturevalue("disturbed")
    assert any((a != b).any() for a, b in zip(weights(small_params), undisturbed, strict=True))
    with own_seeds(small_params.train.seed):
        again = weights(small_params)
    for mine, its in zip(again, undisturbed, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_equal_trials_at_the_same_time_are_told_apart_and_one_tried_again_is_known() -> None:
    study = optuna.create_study()
    first, second = study.ask(), study.ask()
    numbers = [first_number(each) for each in (first, second)]
    assert numbers == [0, 1]
    died = study.tell(second, state=optuna.trial.TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, died)
    again = study.ask()
    assert again.number == 2
    assert first_number(again) == 1


@pytest.fixture
def task(small_params: Params, sweep_options: SweepOptions) -> Task:
    """A sweep of trainings of three epochs, in the store of the working directory."""
    params = changed(small_params, {"train.epochs": 3})
    options = sweep_options.model_copy(update={"pruner": "none"})
    return Task(
        params, options, settings_used(params.fetch), "", {}, {}, "parent", store.tracking_uri()
    )


@pytest.fixture
def reviews(small_params: Params) -> Reviews:
    """What it trains on."""
    train, _, _ = synthetic.generate(small_params.fetch.synthetic)
    return train


def search(
    task: Task, reviews: Reviews, trials: int, monkeypatch: pytest.MonkeyPatch
) -> optuna.Study:
    """Take so many trials, and those that wait again without a pause."""
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    found = study.open_study("sweep", study.address(), task.options)
    study.want(found, trials)
    while study.has_work(found):
        workers.run_next(found, task, reviews, lambda: None)
    return found


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_that_is_pruned_while_the_store_fails_is_pruned_when_tried_again(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [MlflowException("the server is down")]
    log_epoch = RunLogger.epoch

    @guarded
    def fail_once(log: RunLogger, epoch: int, metrics: dict[str, Any]) -> None:
        if failures:
            raise failures.pop()
        log_epoch(log, epoch, metrics)

    monkeypatch.setattr(RunLogger, "epoch", fail_once)
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 0)
    found = search(task, reviews, 1, monkeypatch)
    assert [trial.state.name for trial in found.trials] == ["FAIL", "PRUNED"]
    (run,) = runs()
    assert run.info.status == "KILLED"
    assert run.data.tags["sweep.pruned"] == "others were better after epoch 1"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert [point.step for point in points] == [1]


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_whose_store_failed_is_tried_again_and_its_run_completed(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_epoch, failures = RunLogger.epoch, [MlflowException("the server is down")]

    @guarded
    def fail_once(log: RunLogger, epoch: int, metrics: dict[str, Any]) -> None:
        if epoch == 2 and failures:
            raise failures.pop()
        log_epoch(log, epoch, metrics)

    monkeypatch.setattr(RunLogger, "epoch", fail_once)
    found = search(task, reviews, 2, monkeypatch)
    trials = {trial.number: trial for trial in found.trials}
    assert [trial.state.name for trial in trials.values()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "tried again" in trials[0].user_attrs["error"]
    assert trials[1].user_attrs[RUN] == trials[0].user_attrs[RUN]
    client = mlflow.MlflowClient()
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]
    for run in runs():
        points = client.get_metric_history(run.info.run_id, "val_loss")
        assert sorted(point.step for point in points) == [1, 2, 3]


@pytest.mark.usefixtures("root_with_store")
def test_a_trial_whose_values_do_not_go_together_is_a_failed_run_with_its_reason(
    task: Task, reviews: Reviews
) -> None:
    params = changed(task.params, {"train.cell": "gru"})
    space = {"train.forget_bias": Values(choices=[2.0])}
    options = task.options.model_copy(update={"space": space})
    task = task._replace(params=params, options=options)
    found = study.open_study("sweep", study.address(), options)
    study.want(found, 1)
    workers.run_next(found, task, reviews, lambda: None)
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert run.data.params == {"train.forget_bias": "2.0"}
    assert "train.forget_bias" in run.data.tags["sweep.error"]
    assert run.data.tags["mlflow.parentRunId"] == "parent"


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_that_diverges_is_a_failed_run_with_its_reason(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BlownUp(Training):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.model.get_layer("probability").bias.assign([float("nan")])

    monkeypatch.setattr("extras.sweep.trial.Training", BlownUp)
    found = study.open_study("sweep", study.address(), task.options)
    study.want(found, 1)
    workers.run_next(found, task, reviews, lambda: None)
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert "diverged" in run.data.tags["sweep.error"]


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_that_begins_anew_elsewhere_has_a_run_of_its_own(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints are on the machine that died."""
    log_epoch = RunLogger.epoch

    @guarded
    def die(log: RunLogger, epoch: int, metrics: dict[str, Any]) -> None:
        log_epoch(log, epoch, metrics)
        if epoch == 2:
            raise OSError("this machine dies")

    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    found = study.open_study("sweep", study.address(), task.options)
    study.want(found, 1)
    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "epoch", die)
        workers.run_next(found, task, reviews, lambda: None)
    (before,) = runs()
    shutil.rmtree(training_run.FOLDER)
    workers.run_next(found, task, reviews, lambda: None)
    (run,) = runs()
    assert run.info.run_id != before.info.run_id
    assert run.info.status == "FINISHED"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert sorted(point.step for point in points) == [1, 2, 3]
    gone = mlflow.get_run(before.info.run_id)
    assert (gone.info.lifecycle_stage, gone.info.status) == ("deleted", "KILLED")


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_whose_database_failed_is_tried_again_and_its_run_completed(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, failures = optuna.Trial.report, [StorageInternalError("the database restarts")]

    def fail_once(self: optuna.Trial, value: float, step: int) -> None:
        if step == 2 and failures:
            raise failures.pop()
        report(self, value, step)

    monkeypatch.setattr(optuna.Trial, "report", fail_once)
    found = search(task, reviews, 1, monkeypatch)
    assert [trial.state.name for trial in found.trials] == ["FAIL", "COMPLETE"]
    (run,) = runs()
    assert run.info.status == "FINISHED"
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert sorted(point.step for point in points) == [1, 2, 3]


@pytest.mark.usefixtures("root_with_store", "backend")
def test_a_trial_that_still_runs_elsewhere_is_tried_again_until_it_does_not(
    task: Task, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than one that failed: it was taken for dead while its database was away."""
    held, others = training_run.locked, [RunningError("in process 1")] * (study.RETRIES + 2)

    def held_by_another(key: str) -> AbstractContextManager[Path]:
        if others:
            raise others.pop()
        return held(key)

    monkeypatch.setattr(training_run, "locked", held_by_another)
    found = search(task, reviews, 1, monkeypatch)
    assert [trial.state.name for trial in study.slots(found)] == ["COMPLETE"]
    assert len(runs()) == 1
