"""What a study's trials are, which are done, and which goes next."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import StoreError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sweeps.db"


@pytest.fixture
def found(url: str, sweep_options: SweepOptions) -> optuna.Study:
    return study.open_study("some", url, sweep_options)


def succeed(trial: optuna.Trial) -> float:
    return float(trial.suggest_float("x", 0, 1))


def fail(trial: optuna.Trial) -> float:
    trial.set_user_attr(study.PASSING, True)
    trial.set_user_attr(study.FAILURES, trial.user_attrs.get(study.FAILURES, 0) + 1)
    raise OSError("disk full")


def fail_for_good(trial: optuna.Trial) -> float:
    trial.set_user_attr(study.PASSING, False)
    raise ValueError("they do not go together")


def run(found: optuna.Study, objective: "optuna.study.study.ObjectiveFuncType") -> None:
    callbacks = [study.retry_passing]
    found.optimize(objective, n_trials=1, catch=(Exception,), callbacks=callbacks)


def test_as_many_trials_are_wanted_as_were_last_asked_for_or_are_there(
    found: optuna.Study,
) -> None:
    for asked, wanted in ((4, 4), (2, 2), (0, 1)):
        study.want(found, asked)
        if not asked:
            run(found, succeed)
        assert study.wanted(found) == wanted


def test_a_study_is_stopped_until_trials_are_wanted_again(found: optuna.Study) -> None:
    assert not study.is_stopped(found)
    study.stop(found)
    assert study.is_stopped(found)
    study.want(found, 1)
    assert not study.is_stopped(found)


def test_a_database_that_fails_is_tried_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [optuna.exceptions.StorageInternalError("it restarts")] * 2
    calls: list[str] = []

    def use() -> str:
        calls.append("tried")
        if failures:
            raise failures.pop()
        return "used"

    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    assert study.patiently(use) == "used"
    failures.extend([optuna.exceptions.StorageInternalError("it is gone")] * study.ATTEMPTS)
    calls.clear()
    with pytest.raises(StoreError, match=r"it is gone\n.*SWEEP_STORAGE"):
        study.patiently(use)
    assert len(calls) == study.ATTEMPTS


def test_a_heartbeat_that_is_missed_ends_no_later_ones(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = study.storage(url)

    def fail(*_: object) -> None:
        raise optuna.exceptions.StorageInternalError("it restarts")

    monkeypatch.setattr(optuna.storages.RDBStorage, "record_heartbeat", fail)
    storage.record_heartbeat(1)


def test_it_is_over_when_all_that_are_wanted_have_ended(found: optuna.Study) -> None:
    study.want(found, 2)
    run(found, succeed)
    assert not study.is_over(found)
    assert study.has_work(found)
    run(found, succeed)
    assert study.is_over(found)
    assert not study.has_work(found)


def test_a_trial_that_waits_is_work_and_one_that_runs_is_not(found: optuna.Study) -> None:
    study.want(found, 2)
    found.ask()
    assert study.has_work(found)
    found.ask()
    assert not study.has_work(found)
    assert not study.is_over(found)
    found.enqueue_trial({})
    assert study.has_work(found)


def test_completed_trials_are_listed_the_best_first(url: str, sweep_options: SweepOptions) -> None:
    for metric, ordered in (("val_accuracy", [0.9, 0.5]), ("val_loss", [0.5, 0.9])):
        found = study.open_study(metric, url, sweep_options.model_copy(update={"metric": metric}))
        for value in (0.5, 0.9):
            found.optimize(lambda _, value=value: value, n_trials=1)
        run(found, fail_for_good)
        assert [trial.value for trial in study.completed(found)] == ordered


def test_what_may_pass_is_tried_again_with_the_same_values_a_few_times(
    found: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    study.want(found, 1)
    for _ in range(study.RETRIES):
        run(found, fail)
        (waiting,) = study.slots(found)
        assert waiting.state == TrialState.WAITING
    run(found, fail)
    (ended,) = study.slots(found)
    assert ended.state == TrialState.FAIL
    assert study.is_over(found)


def test_in_the_next_call_it_is_tried_again_and_what_will_not_pass_is_not(
    found: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "RETRIES", 0)
    study.want(found, 2)
    run(found, fail)
    run(found, fail_for_good)
    study.renew(found)
    assert [trial.state for trial in study.slots(found)] == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_that_was_lost_as_it_was_to_wait_again_waits_in_the_next_call(
    found: optuna.Study,
) -> None:
    """Optuna lets it fail, and then adds the one that takes its place."""
    study.want(found, 1)
    found.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    study.renew(found)
    assert [trial.state for trial in study.slots(found)] == [TrialState.WAITING]


def test_a_trial_that_failed_again_and_again_has_as_many_turns_in_the_next_call(
    found: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "PAUSE_SECONDS", 0)
    study.want(found, 1)
    for _ in range(study.RETRIES + 1):
        run(found, fail)
    study.renew(found)
    run(found, fail)
    assert [trial.state for trial in study.slots(found)] == [TrialState.WAITING]


def test_a_trial_whose_worker_died_before_its_new_turn_is_found(found: optuna.Study) -> None:
    study.want(found, 1)
    found.optimize(fail, n_trials=1, catch=(Exception,))
    assert study.is_over(found)
    assert study.find_lost(found)
    assert not study.is_over(found)
    assert not study.find_lost(found)


def test_a_trial_whose_process_died_before_its_first_heartbeat_is_missed(
    found: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.want(found, 1)
    found.ask()  # which starts no heartbeat
    monkeypatch.setattr(study, "HEARTBEAT_SECONDS", -1)
    study.end_stale(found)
    assert found.trials[0].state == TrialState.RUNNING
    heartbeat = "UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'"
    with found._storage._backend.engine.begin() as connection:
        assert connection.exec_driver_sql(heartbeat).rowcount == 1
    study.end_stale(found)
    assert [trial.state for trial in study.slots(found)] == [TrialState.WAITING]


def test_a_trial_is_replaced_once_however_often_that_is_asked_for(found: optuna.Study) -> None:
    study.want(found, 1)
    found.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    (lost,) = found.trials
    for _ in range(2):
        study._wait_again(found, lost)
    assert len(found.trials) == 2


def test_what_will_not_pass_is_not_tried_again(found: optuna.Study) -> None:
    study.want(found, 1)
    run(found, fail_for_good)
    assert [trial.state for trial in study.slots(found)] == [TrialState.FAIL]


def test_proposals_differ_each_time_the_study_is_opened(
    url: str, sweep_options: SweepOptions
) -> None:
    study.want(study.open_study("some", url, sweep_options), 3)
    for _ in range(3):
        run(study.open_study("some", url, sweep_options), succeed)
    trials = study.completed(study.open_study("some", url, sweep_options))
    assert len({trial.params["x"] for trial in trials}) == 3


def test_the_same_seed_proposes_the_same(url: str, sweep_options: SweepOptions) -> None:
    for name in ("one", "two"):
        run(study.open_study(name, url, sweep_options), succeed)
    one, two = (
        study.completed(study.open_study(name, url, sweep_options)) for name in ("one", "two")
    )
    assert one[0].params == two[0].params


def test_given_values_are_tried_once_each(found: optuna.Study) -> None:
    study.fill_with(found, [{"x": 1}, {"x": 2}])
    study.fill_with(found, [{"x": 2}, {"x": 3}])
    assert [trial.user_attrs[study.VALUES] for trial in study.slots(found)] == [
        {"x": 1},
        {"x": 2},
        {"x": 3},
    ]
    assert study.missing(found, [{"x": 3}, {"x": 4}]) == [{"x": 4}]


def is_pruned(trial: optuna.Trial, value: float, sweep_options: SweepOptions) -> bool:
    """Whether a trial ends that has this metric when it is first compared."""
    trial.report(value, sweep_options.min_epochs)
    return bool(trial.should_prune())


def test_of_as_many_trials_as_the_reduction_says_the_best_one_goes_on(
    found: optuna.Study, sweep_options: SweepOptions
) -> None:
    ended = [is_pruned(found.ask(), value, sweep_options) for value in (0.8, 0.7, 0.6, 0.9, 0.85)]
    assert ended == [False, True, True, False, True]


def test_a_trial_that_was_taken_over_does_not_compete_with_itself(
    found: optuna.Study, sweep_options: SweepOptions
) -> None:
    """Of six, two go on; its two numbers would be these two."""
    dead = found.ask()
    assert not is_pruned(dead, 0.9, sweep_options)
    study._wait_again(found, found.tell(dead, state=TrialState.FAIL))
    assert found.ask().number == 1
    ended = [is_pruned(found.ask(), value, sweep_options) for value in (0.5, 0.5, 0.5, 0.5, 0.8)]
    assert ended == [True, True, True, True, False]


def test_a_confirmation_is_never_pruned(url: str, sweep_options: SweepOptions) -> None:
    confirm = study.open_study(study.confirmation("some"), url, sweep_options)
    assert isinstance(confirm.pruner, optuna.pruners.NopPruner)
    search = study.open_study("some", url, sweep_options)
    assert isinstance(search.pruner, optuna.pruners.SuccessiveHalvingPruner)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nonsense", "what://x"])
def test_a_database_that_cannot_be_used_is_one_message(url: str) -> None:
    with pytest.raises(StoreError, match="SWEEP_STORAGE"):
        study.storage(url)


def test_the_address_is_the_variable_s_or_a_file_in_the_root(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(study.STORAGE, raising=False)
    assert study.address() == f"sqlite:///{in_tmp_path}/sweeps.db"
    monkeypatch.setenv(study.STORAGE, "postgresql://host/sweeps")
    assert study.address() == "postgresql://host/sweeps"


def test_its_public_address_has_no_user_password_or_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(study.STORAGE, "postgresql://ann:sesame@host:5433/sweeps?password=sesame")
    assert study.public_address() == "postgresql://host:5433/sweeps"
