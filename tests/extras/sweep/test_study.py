"""What a study's trials are, which are done, and which goes next."""

from collections.abc import Callable
from functools import partial
from unittest.mock import Mock

import optuna
import pytest

from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import StoreError

Objective = Callable[[optuna.Trial], float]
Runner = Callable[..., None]

pytestmark = pytest.mark.usefixtures("in_tmp_path", "url")


@pytest.fixture
def searched(sweep_options: SweepOptions) -> optuna.Study:
    return study.open_study("some", sweep_options)


def succeed(trial: optuna.Trial) -> float:
    return float(trial.suggest_float("x", 0, 1))


def fail(trial: optuna.Trial, passing: bool = True) -> float:
    trial.set_user_attr(study.PASSING, passing)
    trial.set_user_attr(study.ERROR, "disk full")
    raise OSError("disk full")


def die(_: optuna.Trial) -> float:
    """Leave no reason, as a process that dies."""
    raise RuntimeError


@pytest.fixture
def run(searched: optuna.Study, sweep_options: SweepOptions) -> Runner:
    """Train the next trial by a function."""

    def run_next(objective: Objective, of: optuna.Study = searched) -> None:
        study.prepare_next(of, sweep_options)
        of.optimize(objective, n_trials=1, catch=(Exception,))

    return run_next


def retried(searched: optuna.Study, afresh: bool = False) -> list[str]:
    study.retry(searched, afresh)
    return [trial.state.name for trial in study.slots(searched)]


def test_a_database_that_fails_is_tried_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    use = Mock(side_effect=optuna.exceptions.StorageInternalError("it is gone"))
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    with pytest.raises(StoreError, match=r"it is gone\n.*SWEEP_STORAGE"):
        study.patiently(use)
    assert use.call_count == study.ATTEMPTS


def test_a_heartbeat_that_is_missed_ends_no_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Mock(side_effect=optuna.exceptions.StorageInternalError("it restarts"))
    monkeypatch.setattr(optuna.storages.RDBStorage, "record_heartbeat", failing)
    study.storage(study.address()).record_heartbeat(1)
    assert failing.called


def test_as_many_trials_are_taken_as_were_last_asked_for_or_are_there(
    searched: optuna.Study, run: Runner
) -> None:
    study.want(searched, 3)
    for ended in (succeed, partial(fail, passing=False)):
        assert study.has_work(searched)
        run(ended)
    assert not study.is_over(searched)
    study.want(searched, 1)
    assert (study.is_over(searched), study.has_work(searched)) == (True, False)
    assert study.wanted(searched) == 2
    searched.enqueue_trial({})
    assert study.has_work(searched)
    searched.ask()  # it runs
    assert (study.is_over(searched), study.has_work(searched)) == (False, False)


@pytest.mark.parametrize(
    ("objective", "now", "later"),
    [
        (die, "WAITING", "WAITING"),
        (fail, "FAIL", "WAITING"),
        (partial(fail, passing=False), "FAIL", "FAIL"),
    ],
)
def test_what_died_is_tried_again_what_may_pass_in_the_next_call_and_nothing_else(
    searched: optuna.Study, run: Runner, objective: Objective, now: str, later: str
) -> None:
    run(objective)
    assert retried(searched) == [now]
    assert study.is_over(searched) == (now == "FAIL")
    assert retried(searched, afresh=True) == [later]
    assert study.is_over(searched) == (later == "FAIL")


def test_a_trial_whose_process_dies_again_and_again_is_known_by_its_first_and_given_up(
    searched: optuna.Study, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "DEATHS", 2)
    numbers: list[int] = []

    def note(trial: optuna.Trial) -> float:
        numbers.append(study.first_number(trial))
        return die(trial)

    run(succeed)
    for _ in range(study.DEATHS):
        run(note)
        assert retried(searched) == ["COMPLETE", "WAITING"]
    run(note)
    assert retried(searched) == ["COMPLETE", "FAIL"]
    assert study.is_over(searched)
    assert numbers == [1, 1, 1]


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
    study.fill_with(searched, [{"x": 1}, {"x": 2}, {"x": 1}])
    study.fill_with(searched, [{"x": 2}, {"x": 3}])
    values = [trial.user_attrs[study.VALUES] for trial in study.slots(searched)]
    assert values == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert study.missing(searched, [{"x": 3}, {"x": 4}]) == [{"x": 4}]


def test_trials_are_pruned_as_the_options_say_and_no_confirmation(
    searched: optuna.Study, sweep_options: SweepOptions
) -> None:
    unpruned = sweep_options.model_copy(update={"pruner": "none"})
    assert isinstance(searched.pruner, optuna.pruners.SuccessiveHalvingPruner)
    for name, options in (("some" + study.CONFIRMED, sweep_options), ("some", unpruned)):
        assert isinstance(study.open_study(name, options).pruner, optuna.pruners.NopPruner)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "what://x"])
def test_a_database_that_cannot_be_used_is_one_message(url: str) -> None:
    with pytest.raises(StoreError, match="SWEEP_STORAGE"):
        study.storage(url)
