"""The trials of a sweep, in Optuna's storage: which of them count, and how many are still missing.

Any number of processes, on any number of machines, share a study. None of them leads, and no lock
is held. A process is lost if it is killed or its machine fails. This may happen at any time, so a
trial counts until another trial takes its place. Three kinds of trials do not count:

- a trial whose process was lost, and that waits again as a new trial with the same values,
- a trial that was surplus when it started, and trained nothing,
- a trial that was started `MAX_STARTS` times, and failed or was lost each time.

A trial that does not count never counts again. Before it trains, a trial looks at those with lower
numbers: if enough of them count, it marks itself surplus. So there are never too many, even if
processes start at the same time. Processes are started until there are enough.
"""

import os
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from extras.sweep.config import SweepConfig
from extras.sweep.space import round_values
from sentiment.errors import StoreError, first_line
from workflow import files

STORAGE = "SWEEP_STORAGE"  # environment variable: the URL of a database for all machines
DATABASE = "sweeps.db"  # in the project's root, without that variable
CONFIRMED = "-confirmed"  # ends the name of the study that confirms
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a process without a heartbeat for this long counts as lost
LOCK_SECONDS = 20  # to wait for another process's transaction: less than GRACE_SECONDS
CREATION_RETRIES = 5
MAX_RETRY_DELAY_SECONDS = 1.0
MAX_STARTS = 10  # of a trial
# Attributes of a trial
REPLACES = "replaces"  # numbers of the trials whose place it takes, the first one first
SURPLUS = "surplus"  # it trained nothing, because there were enough trials
VALUES = "values"  # values that it is given instead of drawing them
ERROR = "error"  # why its values do not work


class SurplusError(Exception):
    """A trial is not needed."""


def storage_url() -> str:
    """Return the URL of the database, as SQLAlchemy takes it."""
    return os.environ.get(STORAGE) or f"sqlite:///{files.root() / DATABASE}"


@contextmanager
def storage_errors(*others: type[Exception]) -> Iterator[None]:
    """Turn errors of Optuna's storage, and `others`, into a `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error)}\n"
            f"Fix it, or name another one in {STORAGE}."
        ) from error


@cache
def connect(url: str) -> optuna.storages.RDBStorage:
    """Connect to a database, once in each process.

    Raises:
        StoreError: the database or its driver cannot be used.
    """
    # Heartbeats are experimental since Optuna 2.9.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage_errors(ImportError):
        return _open_storage(url)


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    """Open a database, and create its tables if it has none.

    Optuna fails if another process creates the tables in the same moment, so this tries again.

    Raises:
        SQLAlchemyError: the database cannot be used.
    """
    engine_kwargs: dict[str, Any] = {"pool_pre_ping": True}  # a server may have been restarted
    if url.startswith("sqlite"):
        engine_kwargs["connect_args"] = {"timeout": LOCK_SECONDS}
    open_once = partial(
        optuna.storages.RDBStorage,
        url,
        engine_kwargs,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
    )
    for _ in range(CREATION_RETRIES):
        try:
            return open_once()
        except DBAPIError:
            time.sleep(random.uniform(0, MAX_RETRY_DELAY_SECONDS))
    return open_once()


def open_study(name: str, config: SweepConfig) -> optuna.Study:
    """Return the study of this name. Create it if it does not exist.

    Raises:
        StoreError: the database cannot be used.
    """
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if config.pruner == "halving" and not name.endswith(CONFIRMED):
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=config.min_epochs, reduction_factor=config.reduction_factor
        )
    with storage_errors():
        return optuna.create_study(
            study_name=name,
            storage=connect(storage_url()),
            pruner=pruner,
            direction="minimize" if config.metric == "val_loss" else "maximize",
            load_if_exists=True,
        )


def seeded_sampler(config: SweepConfig, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler for the trial with this number.

    With one seed for all of them, processes would draw the same values.
    """
    seed = (config.seed + number) % 2**32
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def replaced_numbers(trial: FrozenTrial | optuna.Trial) -> list[int]:
    """Return the numbers of the trials whose place a trial takes, the first one first."""
    return list(trial.user_attrs.get(REPLACES, []))


def first_number(trial: FrozenTrial | optuna.Trial) -> int:
    """Return the number that a trial had before its process was lost for the first time."""
    return int([*replaced_numbers(trial), trial.number][0])


def values_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values that a trial was given or has drawn, by dotted name."""
    return dict(trial.user_attrs.get(VALUES) or round_values(trial.params))


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, by number."""
    trials = study.get_trials(deepcopy=False)
    replaced = {number for trial in trials for number in replaced_numbers(trial)}
    return [
        trial
        for trial in trials
        if trial.number not in replaced
        and SURPLUS not in trial.user_attrs
        and not (trial.state == TrialState.FAIL and len(replaced_numbers(trial)) + 1 >= MAX_STARTS)
    ]


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were trained to their end or pruned, by number."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in counted_trials(study) if trial.state in states]


def completed_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were trained to their end, the best one first."""
    trials = [trial for trial in counted_trials(study) if trial.state == TrialState.COMPLETE]
    is_maximized = study.direction == optuna.study.StudyDirection.MAXIMIZE
    return sorted(trials, key=lambda trial: trial.value, reverse=is_maximized)


def count_startable_trials(study: optuna.Study, n_trials: int) -> int:
    """Return how many trials may start, if the study is to have this many."""
    counted = counted_trials(study)
    waiting = [trial for trial in counted if trial.state == TrialState.WAITING]
    return len(waiting) + max(0, n_trials - len(counted))


def check_trial_is_needed(study: optuna.Study, trial: optuna.Trial, n_trials: int) -> None:
    """Check that a trial is needed, if the study is to have this many. Call this before training.

    Raises:
        SurplusError: enough trials with lower numbers count, or one of them has the same values or
            replaces the same trial.
    """
    before = [other for other in counted_trials(study) if other.number < trial.number]
    values = trial.user_attrs.get(VALUES)
    has_twin = any(
        first_number(other) == first_number(trial)
        or (values is not None and other.user_attrs.get(VALUES) == values)
        for other in before
    )
    # A trial with given values is needed however many others count.
    is_given = values is not None
    if has_twin or (len(before) >= n_trials and not is_given):
        trial.set_user_attr(SURPLUS, True)
        raise SurplusError


def enqueue_missing(study: optuna.Study, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Enqueue a trial for each of the given sets of values that has none yet."""
    given = [trial.user_attrs.get(VALUES) for trial in counted_trials(study)]
    for values in wanted:
        if values not in given:
            study.enqueue_trial({}, user_attrs={VALUES: dict(values)})
            given.append(values)


def requeue_lost_trials(study: optuna.Study, seen: set[int]) -> None:
    """Enqueue again, with the same values, the trials that failed or whose process was lost.

    Args:
        seen: the numbers of running trials that earlier calls of this process have seen.
    """
    optuna.storages.fail_stale_trials(study)
    for trial in counted_trials(study):
        if trial.state == TrialState.FAIL:
            study.add_trial(
                optuna.create_trial(
                    state=TrialState.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={
                        **trial.user_attrs,
                        REPLACES: [*replaced_numbers(trial), trial.number],
                    },
                )
            )
        elif trial.state == TrialState.RUNNING and trial.number not in seen:
            # Optuna never finds a process that was lost before its first heartbeat. So record one
            # for it: if the process is gone, that heartbeat expires.
            storage = connect(storage_url())
            study_id = storage.get_study_id_from_name(study.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            storage.record_heartbeat(trial_id)
            seen.add(trial.number)
