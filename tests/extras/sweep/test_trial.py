"""A trial trains to the bits of the stage `train`, whatever else its process does."""

import random
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna.exceptions import StorageInternalError

from extras.sweep import study, workers
from extras.sweep.sweep import Sweep
from extras.sweep.trial import RUN, own_seeds
from sentiment.backend import load_keras
from sentiment.errors import RunningError
from sentiment.network.batches import Part
from sentiment.network.training import Training
from sentiment.text import Reviews
from tests.conftest import inputs, runs
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import store, training_run
from workflow.runs.logger import RunLogger, guarded

pytestmark = pytest.mark.usefixtures("root_with_store", "backend")


def weights(params: Params) -> list["np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    part = Part(np.zeros((1, 10)), np.zeros(1, np.uint8))
    return list(Training(params.train, inputs(50, 10), part, part).model.get_weights())


def test_draws_of_other_threads_change_no_weight(
    small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = weights(small_params)
    set_seed = load_keras().utils.set_random_seed

    def disturb(seed: int) -> None:
        """Draw from Python's global generator, as other threads may do meanwhile."""
        set_seed(seed)
        random.random()

    monkeypatch.setattr("keras.utils.set_random_seed", disturb)
    assert any((a != b).any() for a, b in zip(weights(small_params), undisturbed, strict=True))
    with own_seeds(small_params.train.seed):
        again = weights(small_params)
    for mine, its in zip(again, undisturbed, strict=True):
        np.testing.assert_array_equal(mine, its)


Search = Callable[..., optuna.Study]


@pytest.fixture
def search(small_sweep: Sweep, reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Train so many trials of three epochs, and again those that wait again."""
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    params = changed(small_sweep.params, {"train.epochs": 3})
    sweep = small_sweep._replace(params=params, tracking_uri=store.tracking_uri())

    def search(trials: int = 1) -> optuna.Study:
        searched = study.open_study(sweep.name, sweep.options)
        study.want(searched, trials)
        while not study.is_over(searched):
            study.retry(searched)
            workers.run_next(searched, sweep, reviews, lambda: None)
        return searched

    return search


def points(run: Run) -> list[int]:
    """The epochs of a run's curve."""
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    return sorted(point.step for point in history)


Breaker = Callable[[type, str, int, Exception], None]


@pytest.fixture
def fail_once(monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """Let a method that writes the metrics of an epoch fail the first time at this one."""

    def fail_once(kind: type, name: str, epoch: int, error: Exception) -> None:
        write, failures = getattr(kind, name), [error]

        def writer(first: Any, *rest: Any) -> None:
            if epoch in rest and failures:
                raise failures.pop()
            write(first, *rest)

        monkeypatch.setattr(kind, name, guarded(writer) if kind is RunLogger else writer)

    return fail_once


@pytest.mark.parametrize(
    ("kind", "name", "error", "reason"),
    [
        (RunLogger, "epoch", MlflowException("the server is down"), "MLflow failed meanwhile"),
        (optuna.Trial, "report", StorageInternalError("it restarts"), "it restarts"),
    ],
)
def test_a_trial_whose_store_or_database_failed_is_tried_again_and_its_run_completed(
    search: Search, fail_once: Breaker, kind: type, name: str, error: Exception, reason: str
) -> None:
    fail_once(kind, name, 2, error)
    failed, again, other = search(trials=2).trials
    states = [trial.state.name for trial in (failed, again, other)]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert reason in failed.user_attrs["error"]
    assert "error" not in again.user_attrs
    assert again.user_attrs[RUN] == failed.user_attrs[RUN]
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]
    assert [points(run) for run in runs()] == [[1, 2, 3]] * 2


def test_a_trial_that_is_to_be_pruned_as_the_store_fails_is_tried_again(
    search: Search, fail_once: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its run would stay a running one."""
    fail_once(RunLogger, "epoch", 1, MlflowException("the server is down"))
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda _: True)
    trials = search().trials
    assert [trial.state.name for trial in trials] == ["FAIL", "PRUNED"]
    (run,) = runs()
    assert run.info.status == "KILLED"
    assert run.data.tags["sweep.pruned"] == "others were better after epoch 2"
    assert points(run) == [1, 2]


def test_a_trial_that_diverges_is_a_failed_run_with_its_reason(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BlownUp(Training):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.model.get_layer("probability").bias.assign([float("nan")])

    monkeypatch.setattr("extras.sweep.trial.Training", BlownUp)
    search()
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert "diverged" in run.data.tags["sweep.error"]


def test_a_trial_that_begins_anew_elsewhere_has_a_run_of_its_own(
    search: Search, fail_once: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints are on the machine that died."""
    begun: list[Run] = []
    fail_once(RunLogger, "epoch", 2, OSError("this machine dies"))
    retry = study.retry

    def lose_checkpoints(searched: optuna.Study) -> None:
        if searched.trials and not begun:
            begun.extend(runs())
            shutil.rmtree(training_run.FOLDER)
        retry(searched)

    monkeypatch.setattr(study, "retry", lose_checkpoints)
    search()
    (run,) = runs()
    assert run.info.run_id != begun[0].info.run_id
    assert run.info.status == "FINISHED"
    assert points(run) == [1, 2, 3]
    gone = mlflow.get_run(begun[0].info.run_id)
    assert (gone.info.lifecycle_stage, gone.info.status) == ("deleted", "KILLED")


def test_a_trial_that_still_runs_elsewhere_is_tried_again_until_it_does_not(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than one that failed: it was taken for dead while its database was away."""
    locked, others = training_run.locked, [RunningError("in process 1")] * (study.RETRIES + 2)

    def locked_by_another(key: str) -> AbstractContextManager[Path]:
        if others:
            raise others.pop()
        return locked(key)

    monkeypatch.setattr(training_run, "locked", locked_by_another)
    assert [trial.state.name for trial in study.slots(search())] == ["COMPLETE"]
    assert len(runs()) == 1
