"""The study of a sweep, which Optuna keeps in a database that all processes share.

If a process is lost, its trial has no heartbeat any more. Optuna then fails the trial, and enqueues
its values again.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from sentiment.errors import UserError, first_line
from sentiment.project.digests import file_digests, short_digest
from sentiment.project.dvc import stage_dependencies
from sentiment.project.paths import Project
from sentiment.project.provenance import is_code
from sentiment.sweep.values import SPACE_FILE, draw_values
from sentiment.tracking.store import StoreError

METRIC = "val_accuracy"  # of the kept epoch
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a trial without a heartbeat for this long is lost
MAX_RETRIES = 3  # of the values of a lost trial, which may need too much memory
# Successive halving: after MIN_EPOCHS epochs, one in REDUCTION_FACTOR trials continues, for
# REDUCTION_FACTOR times as many epochs, and so on.
MIN_EPOCHS = 1
REDUCTION_FACTOR = 3
RUN_ID = "run_id"  # attribute of a trial: its run in MLflow
BEST = "best"  # names the best trial
SHOWN_TRIALS = 5


def study_name(project: Project, fixed: Mapping[str, Any]) -> str:
    """Return a name with a digest of all that the trials of a sweep have in common.

    These are the params that are not searched, the space, the training set and the code.

    Args:
        fixed: see `sentiment.sweep.values.fixed_params`.
    """
    dependencies = stage_dependencies(project)
    code = {path for stage in ("pad", "train") for path in dependencies[stage] if is_code(path)}
    data = project.fetched.glob("train_*.npy")
    listed = [*(project.folder / path for path in code), project.folder / SPACE_FILE, *data]
    digests = file_digests(listed, project.folder / ".dvcignore")
    return f"sweep-{short_digest(json.dumps([fixed, digests], sort_keys=True))}"


def open_study(url: str, name: str) -> optuna.Study:
    """Open a study in a database. Create both if they do not exist."""
    warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats, since Optuna 2.9
    return optuna.create_study(
        study_name=name,
        storage=RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        ),
        pruner=SuccessiveHalvingPruner(MIN_EPOCHS, REDUCTION_FACTOR),
        direction="maximize",
        load_if_exists=True,
    )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of Optuna's storage into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error.__cause__ or error)}\n"
            "Fix it, or name another one with --storage, and run the same command again."
        ) from error


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
