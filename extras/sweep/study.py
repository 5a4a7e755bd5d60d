"""The trials of a sweep in Optuna's storage, which all processes and machines share.

A sweep has two studies: one searches, and one confirms the best trials with further seeds. Optuna
finds a trial whose process is lost by its heartbeat, and enqueues its values again.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from extras.sweep.space import SweepConfig, flat_params, format_values
from sentiment.errors import StoreError, first_line
from sentiment.params import Params
from workflow import files
from workflow.params_file import read_yaml

METRIC = "val_accuracy"  # of the kept epoch
LOCK_SECONDS = 20  # to wait for another process's transaction: less than GRACE_SECONDS
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a trial without a heartbeat for this long is lost
MAX_RETRIES = 3  # of the values of a lost trial, which may need too much memory
# Successive halving: after MIN_EPOCHS epochs, one in REDUCTION_FACTOR trials continues, for
# REDUCTION_FACTOR times as many epochs, and so on.
MIN_EPOCHS = 1
REDUCTION_FACTOR = 3
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
# Attributes of a trial
ERROR = "error"  # why its values do not work
CONFIRMS = "confirms"  # number of the trial that it confirms
SEED = "seed"  # the further seed that it confirms with


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of Optuna's storage into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error)}\n"
            "Fix it, or name another one by --storage."
        ) from error


def open_storage(url: str) -> RDBStorage:
    """Open a storage, and create its tables if it has none."""
    # Heartbeats are experimental since Optuna 2.9.
    warnings.simplefilter("ignore", ExperimentalWarning)
    is_sqlite = url.startswith("sqlite")
    return RDBStorage(
        url,
        engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}} if is_sqlite else {},
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
    )


def open_search(storage: RDBStorage, name: str) -> optuna.Study:
    """Open the study that searches. Create it if it does not exist."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        pruner=optuna.pruners.SuccessiveHalvingPruner(MIN_EPOCHS, REDUCTION_FACTOR),
        direction="maximize",
        load_if_exists=True,
    )


def open_confirmation(storage: RDBStorage, name: str) -> optuna.Study:
    """Open the study that confirms the best trials of a search. Create it if it does not exist."""
    return optuna.create_study(
        study_name=f"{name}-confirmed",
        storage=storage,
        pruner=optuna.pruners.NopPruner(),
        direction="maximize",
        load_if_exists=True,
    )


def study_name(params: Params, config: SweepConfig) -> str:
    """Return a name with a digest of all that the trials of a sweep have in common.

    These are the params that are not searched, the space, the training set and the code.
    """
    fixed = {name: value for name, value in flat_params(params).items() if name not in config.space}
    digest = hashlib.sha256()
    digest.update(json.dumps([fixed, config.model_dump()["space"]], sort_keys=True).encode())
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    for path in map(Path, sorted({*stages["pad"]["deps"], *stages["train"]["deps"]})):
        if not path.is_relative_to(files.DATA):
            for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                digest.update(module.read_bytes())
    for array in sorted(files.FETCH.glob("train_*.npy")):
        digest.update(array.read_bytes())
    return f"sweep-{digest.hexdigest()[:8]}"


def count_trials(study: optuna.Study, *states: TrialState) -> int:
    """Return how many trials of a study are in one of these states."""
    return len(study.get_trials(deepcopy=False, states=states))


def best_trials(searched: optuna.Study, count: int) -> list[FrozenTrial]:
    """Return the best trials that were trained to their end, the best one first."""
    completed = searched.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(completed, key=lambda trial: -float(trial.value))[:count]


def enqueue_confirmations(
    confirmed: optuna.Study, best: Sequence[FrozenTrial], seeds: Sequence[int]
) -> None:
    """Enqueue each of the best trials with each of the seeds, unless the study has that already."""
    existing = {
        (trial.user_attrs.get(CONFIRMS), trial.user_attrs.get(SEED))
        for trial in confirmed.get_trials(deepcopy=False)
        if trial.state != TrialState.FAIL
    }
    for trial in best:
        for seed in seeds:
            if (trial.number, seed) not in existing:
                attributes = {CONFIRMS: trial.number, SEED: seed}
                confirmed.enqueue_trial(trial.params, user_attrs=attributes)


def rank_confirmed_trials(
    confirmed: optuna.Study, best: Sequence[FrozenTrial], seeds: Sequence[int]
) -> pd.DataFrame:
    """Return a row for each trial that was trained again with every seed, the best mean first.

    Returns:
        `trial` (its number), `search` (`METRIC` in the search), `mean` and `sd` (standard
        deviation) of `METRIC` with the seeds, and `values`.
    """
    completed = confirmed.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    metrics = {
        (trial.user_attrs[CONFIRMS], trial.user_attrs[SEED]): trial.value for trial in completed
    }
    table = pd.DataFrame(columns=["trial", "search", "mean", "sd", "values"])
    for trial in best:
        found = pd.Series([metrics.get((trial.number, seed)) for seed in seeds], dtype=float)
        if found.notna().all():
            values = format_values(trial.params)
            table.loc[len(table)] = [trial.number, trial.value, found.mean(), found.std(), values]
    return table.sort_values("mean", ascending=False, ignore_index=True)


def fail_lost_trials(storage: RDBStorage, *studies: optuna.Study) -> None:
    """Wait until Optuna has found each trial whose process is lost, if any trial is running."""
    for study in studies:
        study_id = storage.get_study_id_from_name(study.study_name)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # Optuna never finds a trial that was lost before its first heartbeat. This one expires.
            storage.record_heartbeat(
                storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            )
    deadline = time.monotonic() + GRACE_SECONDS + 2 * HEARTBEAT_SECONDS
    while any(count_trials(study, TrialState.RUNNING) for study in studies):
        for study in studies:
            optuna.storages.fail_stale_trials(study)
        if time.monotonic() > deadline:  # other machines train the rest
            return
        time.sleep(1)
