"""A trial is one run with all its epochs, whatever fails while it trains."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from mlflow.entities import Metric
from optuna.trial import TrialState

from extras.common.parent_runs import PARENT
from extras.sweep import study, trial
from extras.sweep.config import ParamSpace
from extras.sweep.trial import Sweep
from sentiment.errors import AlreadyRunningError, StoreError
from sentiment.network.training import Training
from sentiment.tokenizer import Reviews
from tests.conftest import epochs, runs
from workflow import checkpoints, store, tracking
from workflow.commands import Interrupted
from workflow.params_file import with_changes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("root_with_store", "backend", "database"),
]

Search = Callable[..., optuna.Study]


@pytest.fixture
def search(small_sweep: Sweep, reviews: Reviews) -> Search:
    """Train trials of three epochs in this process, until one has ended or a process would end."""

    def search(trials: int = 1, **changes: Any) -> optuna.Study:
        params = with_changes(small_sweep.params, {"train.cell": "simple_rnn", "train.epochs": 3})
        space = {"train.units": ParamSpace(choices=[3, 4])}
        config = small_sweep.config.model_copy(update={"space": space})
        sweep = small_sweep._replace(**{"params": params, "config": config, **changes})
        of = study.open_study(sweep.name, sweep.config)
        study.requeue_lost_trials(of, set())
        trial.train_trials(of, sweep, reviews, trials)
        return of

    return search


def always(*_: Any) -> bool:
    return True


def is_second_epoch(_: Any, points: Sequence[Metric]) -> bool:
    """Return whether the arguments of `tracking.log_points` are of the second epoch."""
    return points[0].step == 2


def fail_once(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: BaseException,
    is_time: Callable[..., bool] = always,
) -> None:
    """Let a function fail the first time that its arguments meet a condition."""
    function = getattr(owner, name)
    failures = [error]

    def failing(*arguments: Any, **options: Any) -> Any:
        if failures and is_time(*arguments):
            raise failures.pop()
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


def require_one_complete_run(of: optuna.Study) -> None:
    """Check that the only trial was trained to its end, in one run with three epochs."""
    assert [trial.state for trial in study.counted_trials(of)] == [TrialState.COMPLETE]
    (run,) = runs()
    assert (run.info.status, epochs(run.info.run_id)) == ("FINISHED", [1, 2, 3])
    assert not [*Path(checkpoints.FOLDER).glob(f"*/{checkpoints.STATE_FILE}")]


@pytest.mark.parametrize(
    ("owner", "name", "error", "is_time"),
    [
        (tracking, "log_points", StoreError("the server is down"), is_second_epoch),
        (checkpoints.Checkpoint, "write", OSError("the disk is full"), always),
        (checkpoints, "exclusive_checkpoint", AlreadyRunningError("in process 1"), always),
        (optuna.Trial, "report", optuna.exceptions.StorageInternalError("it restarts"), always),
    ],
    ids=["tracking store", "disk", "other process", "database"],
)
def test_trial_that_something_failed_for_is_resumed_in_its_run(
    search: Search,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: Exception,
    is_time: Callable[..., bool],
) -> None:
    fail_once(monkeypatch, owner, name, error, is_time)
    with pytest.raises(type(error)):
        search()
    require_one_complete_run(search())


def test_interrupted_trial_is_resumed_at_once(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once(monkeypatch, tracking, "log_points", Interrupted(15), is_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        search()
    assert runs()[0].info.status == "KILLED"
    require_one_complete_run(search())


def test_resumed_trial_restores_its_linear_component_and_does_not_train_it(
    search: Search,
    small_sweep: Sweep,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = {"train.linear.share": 0.5, "train.cell": "simple_rnn", "train.epochs": 3}
    params = with_changes(small_sweep.params, changes)
    fail_once(monkeypatch, tracking, "log_points", Interrupted(15), is_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        search(params=params)
    assert "Trained the linear component" in capsys.readouterr().out
    require_one_complete_run(search(params=params))
    output = capsys.readouterr().out
    assert "Resuming after epoch 2 of 3" in output
    assert "Trained the linear component" not in output


class Diverging(Training):
    """A training with a loss that is not a number from the first epoch on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.model.get_layer("probability").bias.assign([float("nan")])


def test_trial_that_diverges_is_a_failed_run_with_the_reason_and_is_not_repeated(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "Training", Diverging)
    of = search()
    (only,) = study.ended_trials(of)
    assert only.state == TrialState.PRUNED
    assert "diverged" in only.user_attrs[study.ERROR]
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert "diverged" in run.data.tags["sweep.error"]


def test_values_that_do_not_go_together_are_noted_and_make_no_run(
    search: Search, small_sweep: Sweep
) -> None:
    values = small_sweep.config.space["train.units"].model_copy(
        update={"choices": [0], "low": None, "high": None, "step": None}
    )
    config = small_sweep.config.model_copy(update={"space": {"train.units": values}})
    (only,) = study.ended_trials(search(config=config))
    assert "train.units: 0 is not allowed" in only.user_attrs[study.ERROR]
    store.connect()
    assert runs() == []


def prune_after_second_epoch(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
    return bool(trial.last_step == 2)


def test_pruned_trial_is_a_killed_run_with_the_reason(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.pruners.NopPruner, "prune", staticmethod(prune_after_second_epoch))
    assert [trial.state for trial in study.ended_trials(search())] == [TrialState.PRUNED]
    (run,) = runs()
    assert (run.info.status, epochs(run.info.run_id)) == ("KILLED", [1, 2])
    assert run.data.tags["sweep.pruned"] == "others were better after epoch 2"


def test_trial_that_was_to_be_pruned_when_its_process_died_trains_no_further(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.pruners.NopPruner, "prune", staticmethod(prune_after_second_epoch))
    fail_once(monkeypatch, tracking, "log_tags", OSError("killed"))
    with pytest.raises(OSError, match="killed"):
        search()
    assert [trial.state for trial in study.ended_trials(search())] == [TrialState.PRUNED]
    (run,) = runs()
    assert (run.info.status, epochs(run.info.run_id)) == ("KILLED", [1, 2])


def test_run_and_params_of_a_trial_say_what_it_is(search: Search) -> None:
    of = search()
    (only,) = study.ended_trials(of)
    (run,) = runs()
    params = run.data.params
    for name, value in study.values_of(only).items():
        assert params[name] == str(value)
    assert run.data.metrics["val_accuracy"] == only.value
    assert run.data.tags[PARENT] == "parent"
    assert run.info.run_name.endswith("trial 0")
    assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)
