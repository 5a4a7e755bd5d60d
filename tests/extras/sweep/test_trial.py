"""A trial trains to the bits of the stage `train`, whatever else its process does."""

import random
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from mlflow.entities import Metric, Run
from optuna.exceptions import StorageInternalError

from extras.sweep import study, trial, workers
from extras.sweep.sweep import Sweep
from extras.sweep.trial import own_seeds
from sentiment.backend import load_keras
from sentiment.errors import AlreadyRunningError, StoreError
from sentiment.network.batches import Split
from sentiment.network.training import Training
from sentiment.tokenizer import Reviews
from tests.conftest import epochs, inputs, runs
from workflow import checkpoints, store, tracking
from workflow.params import Params
from workflow.params_file import with_changes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("root_with_store", "backend"),
]


def weights(params: Params) -> list["np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    split = Split(np.zeros((1, 10)), np.zeros(1, np.uint8))
    return list(Training(params.train, inputs(50, 10), split, split).model.get_weights())


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


Search = Callable[[], optuna.Study]


@pytest.fixture
def search(small_sweep: Sweep, reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Train one trial of three epochs."""
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    params = with_changes(small_sweep.params, {"train.epochs": 3})
    sweep = small_sweep._replace(params=params, tracking_uri=store.tracking_uri())

    def search() -> optuna.Study:
        searched = study.open_study(sweep.name, sweep.options)
        workers.run_next(searched, sweep, reviews, lambda: None)
        return searched

    return search


def always(*_: Any) -> bool:
    return True


def is_second_epoch(_: Any, points: Sequence[Metric]) -> bool:
    """Return whether what `tracking.log_points` gets is of the second epoch."""
    return points[0].step == 2


def fail_once(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: Exception,
    is_time: Callable[..., bool] = always,
) -> None:
    """Let a function fail the first time that its arguments meet a condition."""
    function = getattr(owner, name)
    failures = [error]

    def failing(*arguments: Any) -> Any:
        if failures and is_time(*arguments):
            raise failures.pop()
        return function(*arguments)

    monkeypatch.setattr(owner, name, failing)


def test_a_trial_whose_store_or_database_failed_or_that_runs_elsewhere_goes_on_in_its_run(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts = StorageInternalError("it restarts")
    fail_once(monkeypatch, optuna.Trial, "report", restarts, lambda *report: report[-1] == 1)
    down = StoreError("the server is down")
    fail_once(monkeypatch, tracking, "log_points", down, is_second_epoch)
    fail_once(monkeypatch, checkpoints, "exclusive_checkpoint", AlreadyRunningError("in 1"))
    assert [trial.state.name for trial in search().trials] == ["COMPLETE"]
    (run,) = runs()
    assert (run.info.status, epochs(run.info.run_id)) == ("FINISHED", [1, 2, 3])


class Diverging(Training):
    """A training whose loss is not a number from the first epoch on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.model.get_layer("probability").bias.assign([float("nan")])


def test_a_trial_that_diverges_is_a_failed_run_with_its_reason(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extras.sweep.trial.Training", Diverging)
    (trial,) = search().trials
    assert (trial.state.name, study.may_pass(trial)) == ("FAIL", False)
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert "diverged" in run.data.tags["sweep.error"]


@pytest.mark.parametrize(
    ("owner", "name", "is_time"),
    [(tracking, "log_points", is_second_epoch), (trial, "take_run", always)],
    ids=["in an epoch", "as its run begins"],
)
def test_a_trial_that_begins_anew_elsewhere_has_a_run_of_its_own(
    search: Search,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    is_time: Callable[..., bool],
) -> None:
    """Its checkpoints are on the machine that died."""
    begun: list[Run] = []
    fail_once(monkeypatch, owner, name, OSError("this machine dies"), is_time)

    def lose_checkpoints(_: float) -> None:
        begun.extend(runs())
        shutil.rmtree(checkpoints.FOLDER)

    monkeypatch.setattr("extras.sweep.study.time.sleep", lose_checkpoints)
    search()
    (run,) = runs()
    assert run.info.run_id != begun[0].info.run_id
    assert (run.info.status, epochs(run.info.run_id)) == ("FINISHED", [1, 2, 3])
    assert mlflow.get_run(begun[0].info.run_id).info.lifecycle_stage == "deleted"
