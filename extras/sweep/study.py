"""A sweep's Optuna study: what its trials are, which are done, and which goes next.

All truth is in Optuna's storage. There a study says how many trials it is to have, and whoever
takes one sets it running. One whose process dies waits for the next taker as a new trial with the
same values.
"""

import copy
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from extras.common import run_groups
from extras.sweep.space import tidy
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import AlreadyRunningError, StoreError, first_line
from workflow import files

T = TypeVar("T")

STORAGE = "SWEEP_STORAGE"  # variable: the address of another database than the one in the root
DATABASE = "sweeps.db"
CONFIRMED = "-confirmed"  # ending of a study's name
HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
BUSY_SECONDS = 20  # to wait for another's transaction; a live trial's heartbeat is back in time
PAUSE_SECONDS = 10
ATTEMPTS = 15  # to use a store that fails, with such a pause after each: two minutes
DEATHS = 20  # of the process that trains it, after which a trial is not taken over any more
WANTED = "wanted"  # attribute of a study: how many trials it is to have
VALUES = "values"  # attribute of a trial that draws none: the values that it is given
ERROR, PASSING = "error", "passing"  # attributes of a trial that failed: why, and if that may pass


def address() -> str:
    return os.environ.get(STORAGE) or f"sqlite:///{files.root() / DATABASE}"


@contextmanager
def as_user_error(*others: type[Exception]) -> Iterator[None]:
    """Turn what SQLAlchemy and Optuna raise over the database, and others, into a StoreError."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error)}\n"
            f"Fix it, or name another in {STORAGE}."
        ) from error


def patiently(call: Callable[[], T]) -> T:
    """Call something until a store, the disk or what another process has can be used, for a while.

    Raises:
        UserError, OSError: it cannot be used after a few minutes either.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            with as_user_error():
                return call()
        except (StoreError, AlreadyRunningError, OSError) as error:
            print(f"{first_line(error)} This is tried again.", flush=True)
        time.sleep(PAUSE_SECONDS)
    with as_user_error():
        return call()


@cache
def storage(url: str) -> optuna.storages.RDBStorage:
    """Connect to a database, once for each process; raises StoreError."""

    class Storage(optuna.storages.RDBStorage):  # type: ignore[misc]
        def record_heartbeat(self, trial_id: int) -> None:
            with suppress(StorageInternalError):  # which would end all later ones
                super().record_heartbeat(trial_id)

    busy = {"connect_args": {"timeout": BUSY_SECONDS}} if url.startswith("sqlite") else {}
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats, since 2.9
    with as_user_error(ImportError):  # of the database's driver
        return Storage(
            url,
            # a server that was restarted has closed its connections: they are tried before use
            engine_kwargs={"pool_pre_ping": True, **busy},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
        )


def open_study(name: str, options: SweepOptions) -> optuna.Study:
    """The study of this name, which is made if there is none; no confirmation is pruned."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if options.pruner == "halving" and not name.endswith(CONFIRMED):
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=options.min_epochs, reduction_factor=options.reduction
        )
    return optuna.create_study(
        study_name=name,
        storage=storage(address()),
        pruner=pruner,
        direction="minimize" if options.metric == "val_loss" else "maximize",
        load_if_exists=True,
    )


def values_of(trial: FrozenTrial) -> dict[str, Any]:
    """The values of a trial, whether it drew them or was given them."""
    return dict(trial.user_attrs.get(VALUES) or tidy(trial.params))


def slots(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study, by number, without those that others have taken the place of."""
    trials = study.get_trials(deepcopy=False)
    replaced = {number for trial in trials for number in _history(trial)}
    return [trial for trial in trials if trial.number not in replaced]


def _history(trial: FrozenTrial) -> list[int]:
    return list(trial.system_attrs.get("retry_history", []))


def first_number(trial: optuna.Trial) -> int:
    """The number of a trial, or of the first one that it takes the place of."""
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    return int(attributes.get("failed_trial", trial.number))


def want(study: optuna.Study, trials: int) -> None:
    """Let the study have so many trials in the end, or as many as are there."""
    study.set_user_attr(WANTED, trials)


def wanted(study: optuna.Study) -> int:
    """How many trials it is to have: those that were asked for, or that are there."""
    return max(int(study.user_attrs.get(WANTED, 0)), len(slots(study)))


def fill_with(study: optuna.Study, wanted: Sequence[dict[str, Any]]) -> None:
    """Let there be one trial with each of these values, the new ones waiting."""
    for values in wanted:
        if missing(study, [values]):
            study.enqueue_trial({}, user_attrs={VALUES: values})


def missing(study: optuna.Study, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the values with which there is no trial yet."""
    there = [trial.user_attrs.get(VALUES) for trial in slots(study)]
    return [values for values in wanted if values not in there]


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended, in whatever way, and wait for no other turn."""
    trials = slots(study)
    return [trial for trial in trials if trial.state.is_finished() and not is_dead(trial)]


def is_over(study: optuna.Study) -> bool:
    """Whether every trial that is wanted has ended."""
    return len(ended(study)) >= wanted(study)


def has_work(study: optuna.Study) -> bool:
    """Whether a trial waits, or is wanted and not there yet."""
    return bool(_waiting(study)) or len(slots(study)) < wanted(study)


def _waiting(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.name == "WAITING"]


def prepare_next(study: optuna.Study, options: SweepOptions) -> None:
    """Let a trial wait, a new one if there is none, and seed the sampler that draws its values.

    It is seeded by how many trials were taken: seeded as before, it would repeat itself.
    """
    if not _waiting(study):
        study.enqueue_trial({})
    # Optuna misses only heartbeats of which there was one, should the process die as it takes it
    for trial in _waiting(study)[:1]:  # unless another command has just taken it
        study._storage.record_heartbeat(trial._trial_id)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    taken = len(study.get_trials(deepcopy=False)) - len(_waiting(study))
    study.sampler = samplers[options.sampler](seed=(options.seed + taken) % 2**32)


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were trained to their end, the best first."""
    trials = [trial for trial in slots(study) if trial.state.name == "COMPLETE"]
    return sorted(trials, key=lambda trial: trial.value, reverse=study.direction.name == "MAXIMIZE")


def may_pass(trial: FrozenTrial) -> bool:
    """Whether a trial failed for a reason that may pass, or its process died."""
    return trial.state.name == "FAIL" and bool(trial.user_attrs.get(PASSING, True))


def is_dead(trial: FrozenTrial) -> bool:
    """Whether a trial failed without a reason, and is to be taken over.

    Its process died, or the database failed as the reason was to be noted.
    """
    failed = trial.state.name == "FAIL" and ERROR not in trial.user_attrs
    return failed and len(_history(trial)) < DEATHS


def retry(study: optuna.Study, afresh: bool = False) -> None:
    """Let the trials wait again whose process died, and with `afresh` all that may pass now."""
    with run_groups.exclusive():  # another command of this folder may do so, too
        optuna.storages.fail_stale_trials(study)
        for trial in slots(study):
            if is_dead(trial) or (afresh and may_pass(trial)):
                # Optuna changes what it is given, and lets the new trial have all attributes
                again = copy.deepcopy(trial)
                again.user_attrs.pop(ERROR, None)
                optuna.storages.RetryHeartbeatStaleTrialCallback()(study, again)
