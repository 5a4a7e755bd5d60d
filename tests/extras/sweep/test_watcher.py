"""What `make sweep` shows while its workers train."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from extras.sweep import study, watcher
from extras.sweep.progress import Progress
from extras.sweep.sweep import Sweep
from extras.sweep.sweep_options import SweepOptions
from extras.sweep.trial import HISTORY
from extras.sweep.watcher import Watcher
from sentiment.errors import UserError
from workflow.params import Params


class Display(Progress):
    """What was shown last."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: tuple[int, str, list[str]] = (0, "", [])

    def line(self, text: str) -> None:
        self.lines.append(text)

    def update(self, done: int, text: str, workers: Sequence[str]) -> None:
        self.shown = (done, text, list(workers))


@pytest.fixture
def searched(
    default_params: Params,
    sweep_options: SweepOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Sweep, optuna.Study]:
    """A sweep without a trial yet, which is not logged to MLflow."""
    monkeypatch.setattr("extras.sweep.sweep.log_best", lambda *_: None)
    found = Sweep(
        default_params, sweep_options, "sweep-x", f"sqlite:///{tmp_path}/sweeps.db", "run"
    )
    return found, study.open_study(found.name, found.url, sweep_options)


def trial(units: int, state: TrialState, **options: Any) -> optuna.trial.FrozenTrial:
    scale = optuna.distributions.IntDistribution(1, 128)
    params, distributions = {"train.units": units}, {"train.units": scale}
    return create_trial(state=state, params=params, distributions=distributions, **options)


def test_an_ended_trial_is_a_line_and_the_best_and_running_ones_are_shown(
    searched: tuple[Sweep, optuna.Study],
) -> None:
    found, own = searched
    display = Display()
    watch = Watcher(found, own, "Trial", display)
    own.add_trial(trial(128, TrialState.COMPLETE, value=0.9))
    own.add_trial(trial(64, TrialState.PRUNED))
    rows = [{"val_accuracy": 0.5}, {"val_accuracy": 0.6}]
    own.add_trial(trial(32, TrialState.RUNNING, user_attrs={HISTORY: rows}))
    watch()
    watch()
    assert display.lines[0].startswith("Trial 0: val_accuracy 0.9000, train.units=128; 1 of 3")
    assert display.lines[1].startswith("Trial 1: pruned, nothing changed; 2 of 3, about 0 min left")
    assert len(display.lines) == 2
    done, text, workers = display.shown
    assert done == 2
    assert text.endswith(", best 0.9000: train.units=128")
    assert workers == ["Trial 2: epoch 2 of 5, val_accuracy 0.6000, train.units=32"]


def test_a_trial_that_is_tried_again_is_told_once_and_has_not_ended(
    searched: tuple[Sweep, optuna.Study],
) -> None:
    """Else a store that is down for a minute would look like trials that all fail."""
    found, own = searched
    display = Display()
    watch = Watcher(found, own, "Trial", display)
    passing = {study.ERROR: "the store is down", study.PASSING: True}
    for _ in range(watcher.FIRST):
        own.add_trial(trial(64, TrialState.FAIL, user_attrs=passing))
    watch()
    watch()
    assert len(display.lines) == watcher.FIRST
    assert display.lines[0] == (
        "Trial 0: failed: the store is down, nothing changed; it is tried again"
    )
    assert display.shown[0] == 0


def test_what_had_ended_before_is_counted_and_not_told_again(
    searched: tuple[Sweep, optuna.Study],
) -> None:
    found, own = searched
    own.add_trial(trial(128, TrialState.COMPLETE, value=0.9))
    display = Display()
    Watcher(found, own, "Trial", display)()
    assert display.lines == []
    assert display.shown == (1, "1 of 1, best 0.9000: train.units=128", [])


def test_a_sweep_whose_first_trials_all_fail_is_stopped() -> None:
    failed = create_trial(state=TrialState.FAIL, user_attrs={study.ERROR: "disk full"})
    good = create_trial(value=0.5)
    watcher.require_one_good([failed] * 4)
    watcher.require_one_good([failed, good, *[failed] * 9])
    with pytest.raises(UserError, match=r"first 5 trials all failed.*disk full"):
        watcher.require_one_good([failed] * 5)
