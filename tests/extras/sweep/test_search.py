"""Processes train exactly as many trials as were asked for, however many of them are killed."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from functools import partial
from threading import Thread

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from extras.sweep import search, study
from extras.sweep.study import SurplusError
from extras.sweep.trial import Sweep
from sentiment.errors import UserError

pytestmark = pytest.mark.usefixtures("in_tmp_path", "database")

UNITS = {"train.units": optuna.distributions.IntDistribution(1, 100)}


def draw_slowly(of: optuna.Study, trials: int, trial: optuna.Trial) -> float:
    """Draw a value in place of a training."""
    study.check_trial_is_needed(of, trial, trials)
    value = trial.suggest_float("x", 0, 1)
    time.sleep(0.2)
    return float(value)


def run_worker(sweep: Sweep, name: str, trials: int, _: int) -> None:
    """Work as a process of a sweep does, without training anything."""
    study.HEARTBEAT_SECONDS = 1
    study.GRACE_SECONDS = 2
    of = study.open_study(name, sweep.config)
    of.optimize(
        partial(draw_slowly, of, trials),
        n_trials=study.count_startable_trials(of, trials),
        catch=(SurplusError,),
        callbacks=[lambda of, _: None if study.count_startable_trials(of, trials) else of.stop()],
    )


def fail(*_: object) -> None:
    """Fail as a process does that cannot use a store."""
    sys.exit("The store cannot be used.")


@pytest.mark.slow
def test_exactly_as_many_trials_count_as_were_asked_for_though_processes_of_two_commands_are_killed(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "run_worker", run_worker)
    monkeypatch.setattr(study, "GRACE_SECONDS", 2)
    monkeypatch.setattr(search, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(search, "MAX_FAILURES", 100)
    rng = random.Random(0)
    trials = 40
    kills = 0
    opened = [study.open_study("some", small_sweep.config) for _ in range(2)]
    commands = [Thread(target=search.train_all, args=(small_sweep, of, 2, trials)) for of in opened]
    for command in commands:
        command.start()
    while any(command.is_alive() for command in commands):
        time.sleep(rng.uniform(0.2, 1.5))
        processes = multiprocessing.active_children()
        if processes and kills < 15:
            os.kill(rng.choice(processes).pid or 0, signal.SIGKILL)
            kills += 1
    there = study.counted_trials(opened[0])
    assert Counter(trial.state.name for trial in there) == {"COMPLETE": trials}
    assert len({study.first_number(trial) for trial in there}) == trials
    assert kills == 15


@pytest.mark.slow
def test_processes_that_all_fail_end_the_command(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "run_worker", fail)
    monkeypatch.setattr(search, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(search, "MAX_FAILURES", 3)
    of = study.open_study("some", small_sweep.config)
    with pytest.raises(UserError, match=r"3 processes in a row failed\. Fix what the lines"):
        search.train_all(small_sweep, of, workers=1, n_trials=2)
    assert "The store cannot be used." in capfd.readouterr().err


def test_trials_that_have_all_ended_start_no_process(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = study.open_study("some", small_sweep.config)
    of.add_trial(create_trial(value=0.5, params={"train.units": 3}, distributions=UNITS))
    monkeypatch.delattr("multiprocessing.get_context")
    search.train_all(small_sweep, of, workers=1, n_trials=1)


@pytest.mark.parametrize(
    ("state", "attributes", "outcome"),
    [
        (TrialState.COMPLETE, {}, "val_accuracy 0.5000"),
        (TrialState.PRUNED, {}, "pruned"),
        (TrialState.PRUNED, {study.ERROR: "it diverged"}, "failed: it diverged"),
    ],
)
def test_trial_that_ended_is_a_line_with_its_first_number_outcome_and_values(
    state: TrialState, attributes: dict[str, str], outcome: str
) -> None:
    trial = create_trial(
        state=state,
        value=0.5,
        params={"train.units": 3},
        distributions=UNITS,
        user_attrs={**attributes, study.REPLACES: [4, 6]},
    )
    line = f"Trial 4: {outcome}, train.units=3"
    assert search.describe_trial(trial, "val_accuracy") == line
