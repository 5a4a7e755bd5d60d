"""What `make sweep` shows while its workers train."""

from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from extras.sweep import study, watcher
from extras.sweep.sweep import Sweep, studies
from extras.sweep.watcher import Watcher
from sentiment.errors import UserError

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture
def searched(small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """A study without a trial yet, which is not logged to MLflow."""
    monkeypatch.setattr("extras.sweep.sweep.log_best", lambda *_: None)
    return studies(small_sweep)[0]


def trial(units: int, state: TrialState, **options: Any) -> FrozenTrial:
    scale = optuna.distributions.IntDistribution(1, 128)
    params, distributions = {"train.units": units}, {"train.units": scale}
    return create_trial(state=state, params=params, distributions=distributions, **options)


def test_each_trial_that_ends_is_a_line_with_the_best_so_far(
    small_sweep: Sweep, searched: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    searched.add_trial(trial(4, TrialState.COMPLETE, value=0.8))
    look = Watcher(small_sweep, searched, "Trial")
    searched.add_trial(trial(128, TrialState.COMPLETE, value=0.9))
    searched.add_trial(trial(4, TrialState.PRUNED))
    searched.add_trial(trial(32, TrialState.RUNNING))
    look()
    look()
    ended, best = "3 of 4", "best 0.9000: train.units=128"
    assert capsys.readouterr().out.splitlines() == [
        f"Trial 1: val_accuracy 0.9000, train.units=128; {ended}, {best}",
        f"Trial 2: pruned, train.units=4; {ended}, {best}",
    ]


def test_a_trial_that_is_tried_again_is_told_once_and_has_not_ended(
    small_sweep: Sweep, searched: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a store that is down for a minute would look like trials that all fail."""
    look = Watcher(small_sweep, searched, "Trial")
    passing = {study.ERROR: "the store is down", study.PASSING: True}
    for _ in range(watcher.FIRST):
        searched.add_trial(trial(4, TrialState.FAIL, user_attrs=passing))
    look()
    look()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == watcher.FIRST
    assert lines[0] == "Trial 0: failed: the store is down, train.units=4; it is tried again"


def test_a_sweep_whose_first_trials_all_fail_is_stopped() -> None:
    failed = create_trial(state=TrialState.FAIL, user_attrs={study.ERROR: "disk full"})
    good = create_trial(value=0.5)
    watcher.require_one_good([failed] * 4)
    watcher.require_one_good([failed, good, *[failed] * 9])
    with pytest.raises(UserError, match=r"first 5 trials all failed.*disk full"):
        watcher.require_one_good([failed] * 5)
