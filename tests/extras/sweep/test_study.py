"""What a study's trials are, which are done, and which goes next."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import StoreError

Objective = Callable[[optuna.Trial], float]
Runner = Callable[..., list[str]]

pytestmark = pytest.mark.usefixtures("in_tmp_path", "url")


@pytest.fixture
def searched(sweep_options: SweepOptions) -> optuna.Study:
    return study.open_study("some", sweep_options)


def succeed(trial: optuna.Trial) -> float:
    return float(trial.suggest_float("x", 0, 1))


def fail(trial: optuna.Trial) -> float:
    trial.set_user_attr(study.PASSING, True)
    trial.set_user_attr(study.FAILURES, trial.user_attrs.get(study.FAILURES, 0) + 1)
    raise OSError("disk full")


def fail_for_good(trial: optuna.Trial) -> float:
    trial.set_user_attr(study.PASSING, False)
    raise ValueError("they do not go together")


def die(_: optuna.Trial) -> float:
    """Leave no reason, as a process that dies."""
    raise RuntimeError


@pytest.fixture
def run(searched: optuna.Study, sweep_options: SweepOptions) -> Runner:
    """Train the next trial by a function, and tell the states of all."""

    def run_next(objective: Objective, of: optuna.Study = searched) -> list[str]:
        study.prepare_next(of, sweep_options)
        of.optimize(objective, n_trials=1, catch=(Exception,))
        return states(of)

    return run_next


def states(searched: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.slots(searched)]


def retried(searched: optuna.Study, afresh: bool = False) -> list[str]:
    study.retry(searched, afresh)
    return states(searched)


def test_a_database_that_fails_is_tried_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def use() -> str:
        calls.append("tried")
        raise optuna.exceptions.StorageInternalError("it is gone")

    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    with pytest.raises(StoreError, match=r"it is gone\n.*SWEEP_STORAGE"):
        study.patiently(use)
    assert len(calls) == study.ATTEMPTS


def test_a_heartbeat_that_is_missed_ends_no_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = study.storage(study.address())

    def fail(*_: object) -> None:
        raise optuna.exceptions.StorageInternalError("it restarts")

    monkeypatch.setattr(optuna.storages.RDBStorage, "record_heartbeat", fail)
    storage.record_heartbeat(1)


def test_as_many_trials_are_taken_as_were_last_asked_for_or_are_there(
    searched: optuna.Study, run: Runner
) -> None:
    study.want(searched, 3)
    for ended in (succeed, fail_for_good):
        assert study.has_work(searched)
        run(ended)
    assert study.has_work(searched)
    assert not study.is_over(searched)
    study.want(searched, 1)
    assert study.is_over(searched)
    assert not study.has_work(searched)
    assert study.wanted(searched) == 2
    searched.enqueue_trial({})
    assert study.has_work(searched)
    searched.ask()  # it runs
    assert not study.has_work(searched)
    assert not study.is_over(searched)


@pytest.mark.parametrize(
    ("metric", "ordered"), [("val_accuracy", [0.9, 0.5]), ("val_loss", [0.5, 0.9])]
)
def test_completed_trials_are_listed_the_best_first(
    sweep_options: SweepOptions, run: Runner, metric: str, ordered: list[float]
) -> None:
    of_metric = study.open_study(metric, sweep_options.model_copy(update={"metric": metric}))
    for value in (0.5, 0.9):
        of_metric.optimize(lambda _, value=value: value, n_trials=1)
    run(fail_for_good, of_metric)
    assert [trial.value for trial in study.completed(of_metric)] == ordered


def test_what_may_pass_is_tried_again_a_few_times_and_as_often_in_the_next_call(
    searched: optuna.Study, run: Runner
) -> None:
    study.want(searched, 1)
    for afresh in (False, True):
        study.retry(searched, afresh)
        for _ in range(study.RETRIES):
            run(fail)
            assert not study.is_over(searched)
            assert retried(searched) == ["WAITING"]
        run(fail)
        assert study.is_over(searched)
        assert retried(searched) == ["FAIL"]


def test_what_will_not_pass_is_not_tried_again(searched: optuna.Study, run: Runner) -> None:
    run(fail_for_good)
    assert retried(searched, afresh=True) == ["FAIL"]


def test_a_trial_that_two_commands_let_wait_at_once_is_one(
    searched: optuna.Study, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(die)
    slots = study.slots

    def slowly(of: optuna.Study) -> list[optuna.trial.FrozenTrial]:
        trials = slots(of)
        time.sleep(0.3)
        return trials

    monkeypatch.setattr(study, "slots", slowly)
    with ThreadPoolExecutor() as commands:
        list(commands.map(study.retry, [searched, searched]))
    assert [trial.state.name for trial in searched.trials] == ["FAIL", "WAITING"]


def test_a_trial_whose_process_dies_again_and_again_is_given_up(
    searched: optuna.Study, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "DEATHS", 3)
    study.want(searched, 1)
    for _ in range(study.DEATHS):
        run(die)
        assert retried(searched) == ["WAITING"]
        assert retried(searched) == ["WAITING"]
    run(die)
    assert retried(searched) == ["FAIL"]
    assert study.is_over(searched)


def test_a_trial_whose_process_died_as_it_took_it_is_missed(
    searched: optuna.Study, sweep_options: SweepOptions
) -> None:
    study.prepare_next(searched, sweep_options)
    searched.ask()  # which starts no heartbeat
    assert retried(searched) == ["RUNNING"]
    heartbeat = "UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'"
    with searched._storage._backend.engine.begin() as connection:
        assert connection.exec_driver_sql(heartbeat).rowcount == 1
    assert retried(searched) == ["WAITING"]


def test_equal_trials_are_told_apart_and_one_that_is_tried_again_is_known(
    searched: optuna.Study, run: Runner
) -> None:
    numbers: list[int] = []

    def note(trial: optuna.Trial) -> float:
        numbers.append(study.first_number(trial))
        return fail(trial) if trial.number else 0.5

    for _ in range(4):
        study.retry(searched)
        run(note)
    assert [trial.number for trial in searched.trials] == [0, 1, 2, 3]
    assert numbers == [0, 1, 1, 1]


def test_the_same_seed_proposes_the_same_and_no_two_proposals_are_equal(
    sweep_options: SweepOptions, run: Runner
) -> None:
    """Each time the study is opened, as by another process."""
    proposed: list[list[float]] = []
    for name in ("one", "two"):
        for _ in range(3):
            opened = study.open_study(name, sweep_options)
            run(succeed, opened)
        proposed.append([trial.params["x"] for trial in opened.trials])
    assert proposed[0] == proposed[1]
    assert len({*proposed[0]}) == 3


def test_given_values_are_tried_once_each(searched: optuna.Study) -> None:
    study.fill_with(searched, [{"x": 1}, {"x": 2}])
    study.fill_with(searched, [{"x": 2}, {"x": 3}])
    values = [trial.user_attrs[study.VALUES] for trial in study.slots(searched)]
    assert values == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert study.missing(searched, [{"x": 3}, {"x": 4}]) == [{"x": 4}]


def test_of_as_many_trials_as_the_reduction_says_the_best_one_goes_on_once(
    searched: optuna.Study, sweep_options: SweepOptions
) -> None:
    """One that was taken over does not compete with itself: of six two go on, by other numbers."""

    def is_pruned(trial: optuna.Trial, value: float) -> bool:
        trial.report(value, sweep_options.min_epochs)
        return bool(trial.should_prune())

    dead = searched.ask()
    assert not is_pruned(dead, 0.9)
    searched.tell(dead, state=TrialState.FAIL)
    study.retry(searched)
    assert searched.ask().number == 1
    pruned = [is_pruned(searched.ask(), value) for value in (0.5, 0.6, 0.5, 0.5, 0.8, 0.7)]
    assert pruned == [True, True, True, True, False, True]


def test_a_confirmation_is_never_pruned(sweep_options: SweepOptions) -> None:
    confirm = study.open_study("some" + study.CONFIRMED, sweep_options)
    assert isinstance(confirm.pruner, optuna.pruners.NopPruner)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nonsense", "what://x"])
def test_a_database_that_cannot_be_used_is_one_message(url: str) -> None:
    with pytest.raises(StoreError, match="SWEEP_STORAGE"):
        study.storage(url)


def test_the_address_is_a_file_in_the_root_or_the_variable_s(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(study.STORAGE, "postgresql://host:5433/sweeps")
    assert study.address() == "postgresql://host:5433/sweeps"
    monkeypatch.delenv(study.STORAGE)
    assert study.address() == f"sqlite:///{in_tmp_path}/sweeps.db"
