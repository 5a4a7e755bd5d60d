"""The study of a sweep: its name, and its trials."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from extras.sweep.values import SPACE_FILE, draw_values
from sentiment.errors import UserError
from workflow.digests import list_digests, short_digest
from workflow.dvc import stage_dependencies
from workflow.paths import FETCH_FOLDER
from workflow.provenance import is_code
from workflow.stage import SignalFlag

METRIC = "val_accuracy"  # of the kept epoch
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
# Attributes of a trial
# Its number, once its values are drawn. A repeated trial has the attributes of the lost one.
STARTED = "started"
ENDED = "ended"  # why it ended early
BEST = "best"  # names the best trial
SHOWN_TRIALS = 5


def study_name(fixed: Mapping[str, Any]) -> str:
    """Return a name with a digest of all that the trials of a sweep have in common.

    These are the params that are not searched, the space, the training set and the code.

    Args:
        fixed: see `extras.sweep.values.fixed_params`.
    """
    dependencies = stage_dependencies()
    code = {path for stage in ("pad", "train") for path in dependencies[stage] if is_code(path)}
    data = FETCH_FOLDER.glob("train_*.npy")
    digests = list_digests([*map(Path, code), Path(SPACE_FILE), *data])
    return f"sweep-{short_digest(json.dumps(fixed, sort_keys=True) + digests)}"


def running_numbers(study: optuna.Study) -> set[int]:
    """Return the numbers of the trials that a process trains, or has left behind."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.number for trial in running}


def count_done(study: optuna.Study) -> int:
    """Return how many trials were trained to their end, or pruned."""
    return len(study.get_trials(deepcopy=False, states=DONE))


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the best trials that were trained to their end, the best one first."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(completed, key=lambda trial: -float(trial.value))[:SHOWN_TRIALS]


def find_trial(study: optuna.Study, number: str) -> FrozenTrial:
    """Return the trial of this number, or the best one, which must be trained to its end or pruned.

    Args:
        number: a number, or `BEST`.

    Raises:
        UserError: there is no such trial.
    """
    if number == BEST:
        found = best_trials(study)
    else:
        done = study.get_trials(deepcopy=False, states=DONE)
        found = [trial for trial in done if str(trial.number) == number]
    if not found:
        raise UserError(
            f"{study.study_name} has no trial {number} that is done. `sentiment sweep` shows the "
            "best ones, and `sentiment sweep --trials 20` trains some."
        )
    return found[0]


def describe_trials(trials: Sequence[FrozenTrial]) -> str:
    """Return a table for a reader: a column for each trial, with `METRIC` and the values."""
    if not trials:
        return "No trial was trained to its end yet."
    columns = {
        trial.number: {METRIC: f"{trial.value:.4f}", **draw_values(trial)} for trial in trials
    }
    table = pd.DataFrame(columns).map(str, na_action="ignore").rename_axis(columns="trial")
    return str(table.to_string(na_rep=""))


def fail_lost_trials(
    study: optuna.Study, numbers: set[int], until: float, flag: SignalFlag
) -> None:
    """Wait until each of some running trials has ended or is found to be lost.

    Args:
        numbers: the trials.
        until: `time.monotonic()` by which Optuna finds all of them that are lost. Those that still
            run are trained by another process.
        flag: the signals of this process.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    while running := running_numbers(study) & numbers:
        if flag.received is not None:
            raise KeyboardInterrupt
        if time.monotonic() > until:
            break
        time.sleep(1)
        optuna.storages.fail_stale_trials(study)
    for number in running:
        # Optuna does not find a trial that was lost before its first heartbeat.
        if study.trials[number].user_attrs.get(STARTED) != number:
            study.tell(number, state=TrialState.FAIL)
