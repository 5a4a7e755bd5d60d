"""Which trials of a study count, which wait again, and how many may start."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from optuna.trial import TrialState

from extras.sweep import study
from extras.sweep.config import SweepConfig
from extras.sweep.study import SurplusError
from sentiment.errors import StoreError

pytestmark = pytest.mark.usefixtures("in_tmp_path", "database")


@pytest.fixture
def searched(config: SweepConfig) -> optuna.Study:
    return study.open_study("some", config)


def train(of: optuna.Study, trials: int, trial: optuna.Trial) -> float:
    """Draw a value in place of a training."""
    study.check_trial_is_needed(of, trial, trials)
    return float(trial.suggest_float("x", 0, 1))


def end_as_killed(of: optuna.Study, trials: int, trial: optuna.Trial) -> float:
    """Draw a value, then end as a killed process does: Optuna is told nothing."""
    train(of, trials, trial)
    raise SystemExit


def run(of: optuna.Study, trials: int, objective: Callable[..., float] = train) -> None:
    """Run the next trial of a study that is to have this many."""
    try:
        of.optimize(partial(objective, of, trials), n_trials=1, catch=(SurplusError,))
    except SystemExit:
        silence()


def silence() -> None:
    """Let the last heartbeats of all running trials be long ago."""
    heartbeat = "UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'"
    with study.connect(study.storage_url()).engine.begin() as connection:
        connection.exec_driver_sql(heartbeat)


def states(of: optuna.Study) -> list[str]:
    """Return the states of the trials that count, by number."""
    return [trial.state.name for trial in study.counted_trials(of)]


def test_trial_beyond_those_asked_for_is_surplus_and_does_not_count(searched: optuna.Study) -> None:
    for _ in range(3):
        run(searched, 2)
    assert [trial.state.name for trial in searched.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert states(searched) == ["COMPLETE", "COMPLETE"]
    assert study.count_startable_trials(searched, 2) == 0


def test_more_trials_can_be_asked_for_later_and_fewer_remove_none(searched: optuna.Study) -> None:
    for _ in range(3):
        run(searched, 2)
    assert study.count_startable_trials(searched, 3) == 1
    run(searched, 3)
    assert states(searched) == ["COMPLETE"] * 3
    assert study.count_startable_trials(searched, 1) == 0


def test_trial_of_a_killed_process_counts_and_waits_again_with_its_values(
    searched: optuna.Study,
) -> None:
    run(searched, 2, end_as_killed)
    assert states(searched) == ["RUNNING"]
    assert study.count_startable_trials(searched, 2) == 1
    study.requeue_lost_trials(searched, {0})
    assert states(searched) == ["WAITING"]
    assert study.count_startable_trials(searched, 1) == 1
    run(searched, 1)
    (trial,) = study.ended_trials(searched)
    assert (trial.number, study.first_number(trial)) == (1, 0)
    assert trial.params == searched.trials[0].params


def test_trial_that_failed_by_an_error_waits_again(searched: optuna.Study) -> None:
    def fail(_: optuna.Trial) -> float:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        searched.optimize(fail, n_trials=1)
    study.requeue_lost_trials(searched, set())
    assert states(searched) == ["WAITING"]


def test_trial_that_two_commands_requeued_runs_once(searched: optuna.Study) -> None:
    run(searched, 2, end_as_killed)
    optuna.storages.fail_stale_trials(searched)
    (lost,) = searched.trials
    for _ in range(2):
        searched.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=lost.params,
                distributions=lost.distributions,
                user_attrs={study.REPLACES: [lost.number]},
            )
        )
    for _ in range(2):
        run(searched, 2)
    assert states(searched) == ["COMPLETE"]
    assert study.count_startable_trials(searched, 2) == 1


def test_trial_whose_process_is_killed_too_often_is_given_up_and_another_one_takes_its_place(
    searched: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "MAX_STARTS", 2)
    for _ in range(study.MAX_STARTS):
        run(searched, 1, end_as_killed)
        study.requeue_lost_trials(searched, {0, 1})
    assert states(searched) == []
    assert study.count_startable_trials(searched, 1) == 1
    run(searched, 1)
    assert states(searched) == ["COMPLETE"]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")
def test_trial_whose_process_was_killed_before_its_first_heartbeat_is_found(
    searched: optuna.Study,
) -> None:
    searched.ask()  # which sends no heartbeat
    seen: set[int] = set()
    study.requeue_lost_trials(searched, seen)
    silence()
    study.requeue_lost_trials(searched, seen)
    assert states(searched) == ["WAITING"]


def test_same_seed_draws_the_same_values_and_no_two_trials_draw_equal_ones(
    config: SweepConfig,
) -> None:
    drawn: list[list[float]] = []
    for name in ("one", "two"):
        for number in range(3):
            opened = study.open_study(name, config)  # as another process does
            opened.sampler = study.seeded_sampler(config, number)
            run(opened, 3)
        drawn.append([trial.params["x"] for trial in opened.trials])
    assert drawn[0] == drawn[1]
    assert len({*drawn[0]}) == 3


def test_each_given_value_is_trained_once_also_if_two_commands_ask_for_it(
    searched: optuna.Study,
) -> None:
    study.enqueue_missing(searched, [{"x": 1}, {"x": 2}, {"x": 1}])
    study.enqueue_missing(searched, [{"x": 2}, {"x": 3}])
    searched.enqueue_trial({}, user_attrs={study.VALUES: {"x": 3}})  # by another command
    assert study.count_startable_trials(searched, 0) == 4
    for _ in range(4):
        run(searched, 0)
    assert [study.values_of(trial) for trial in study.ended_trials(searched)] == [
        {"x": 1},
        {"x": 2},
        {"x": 3},
    ]
    run(searched, 0)  # by a process that came too late
    assert len(study.counted_trials(searched)) == 3


def test_pruner_is_that_of_the_config_and_no_confirmation_is_pruned(
    searched: optuna.Study, config: SweepConfig
) -> None:
    unpruned = config.model_copy(update={"pruner": "none"})
    assert isinstance(searched.pruner, optuna.pruners.SuccessiveHalvingPruner)
    confirmed = study.open_study("some" + study.CONFIRMED, config)
    assert isinstance(confirmed.pruner, optuna.pruners.NopPruner)
    assert isinstance(study.open_study("some", unpruned).pruner, optuna.pruners.NopPruner)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "what://x"])
def test_database_that_cannot_be_used_is_one_message(url: str) -> None:
    with pytest.raises(StoreError, match="SWEEP_STORAGE"):
        study.connect(url)


def test_many_processes_may_create_the_database_at_once(tmp_path: Path) -> None:
    """Jobs of a cluster start in the same second. Here, threads stand for them."""
    url = f"sqlite:///{tmp_path}/new.db"
    start = Barrier(6)

    def connect(_: int) -> optuna.storages.RDBStorage:
        start.wait()
        return study.connect(url)  # `cache` does not wait for a call that runs

    with ThreadPoolExecutor(6) as threads:
        storages = list(threads.map(connect, range(6)))
    assert [storage.get_all_studies() for storage in storages] == [[]] * 6
