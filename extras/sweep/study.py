"""A sweep's Optuna study: what its trials are, which are done, and which goes next.

All truth is in Optuna's storage. There a study says how many trials it is to have, and whoever
takes one sets it running. A trial whose process died is found by its missing heartbeat, and waits
for the next taker as a new one with the same values.
"""

import copy
import os
import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from extras.sweep.space import tidy
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import StoreError, first_line
from workflow import files

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

T = TypeVar("T")

STORAGE = "SWEEP_STORAGE"  # variable: the address of another database than the one in the root
DATABASE = "sweeps.db"
CONFIRMED = "-confirmed"  # ending of a study's name
HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
BUSY_SECONDS = 20  # to wait for another's transaction; a live trial's heartbeat is back in time
PAUSE_SECONDS = 20
ATTEMPTS = 15  # to use a database that fails, with such a pause after each: five minutes
DEATHS = 20  # of the process that trains it, after which a trial is not taken over any more
RETRIES = 2  # of a trial that failed for a reason that may pass, such as a store that is down
FAILURES = "failures"  # attribute of a trial: how often it did
WANTED = "wanted"  # attribute of a study: how many trials it is to have
STOPPED = "stopped"  # attribute of a study: whether its workers are to take no more trials
VALUES = "values"  # attribute of a trial that draws none: the values that it is given
BEATEN = "beaten"  # attribute of a trial: its number, once another process gave it a heartbeat
# attributes of a trial that failed: why, and whether that may pass
ERROR, PASSING = "error", "passing"


def address() -> str:
    """The database of the sweeps, as SQLAlchemy names it."""
    return os.environ.get(STORAGE) or f"sqlite:///{files.root() / DATABASE}"


def public_address() -> str:
    """The database's address without user, password and options, fit to be shown."""
    return re.sub("(?<=://)[^/]*@", "", address()).partition("?")[0]


@contextmanager
def as_user_error() -> Iterator[None]:
    """Turn what SQLAlchemy and Optuna raise over the database into a StoreError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(error) from error


def _unusable(error: BaseException) -> StoreError:
    return StoreError(
        f"The database of the sweeps cannot be used: {first_line(error)}\n"
        f"Fix it, or name another in {STORAGE}."
    )


def patiently(call: Callable[[], T]) -> T:
    """Call something again for a few minutes until the database can be used, as after a restart.

    Raises:
        StoreError: it cannot be used after that time either.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(StoreError), as_user_error():
            return call()
        time.sleep(PAUSE_SECONDS)
    with as_user_error():
        return call()


@cache
def storage(url: str) -> "optuna.storages.RDBStorage":
    """Connect to a database, once for each process.

    Raises:
        StoreError: it cannot be used.
    """
    import optuna

    class Storage(optuna.storages.RDBStorage):  # type: ignore[misc]
        def record_heartbeat(self, trial_id: int) -> None:
            with suppress(optuna.exceptions.StorageInternalError):  # which would end all later ones
                super().record_heartbeat(trial_id)

    # a server that was restarted has closed its connections: they are tried before each use
    options = (
        {"connect_args": {"timeout": BUSY_SECONDS}}
        if url.startswith("sqlite")
        else {"pool_pre_ping": True}
    )
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats, since 2.9
    try:
        with as_user_error():
            return Storage(
                url,
                engine_kwargs=options,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=_take_over,
            )
    except ImportError as error:  # of the database's driver
        raise _unusable(error) from error


def open_study(name: str, url: str, options: SweepOptions) -> "optuna.Study":
    """The study of this name, which is made if there is none.

    Args:
        name: its name; in one that `confirmation` gave no trial is pruned.
        url: the database.
        options: how to search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=storage(url),
        pruner=optuna.pruners.NopPruner() if name.endswith(CONFIRMED) else _pruner(options),
        direction="minimize" if options.metric == "val_loss" else "maximize",
        load_if_exists=True,
    )
    seed(study, options)
    return study


def seed(study: "optuna.Study", options: SweepOptions) -> None:
    """Seed the sampler by how many trials were taken: seeded as before, it would repeat itself."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    drawn = sum(trial.state != optuna.trial.TrialState.WAITING for trial in trials)
    study.sampler = _sampler(options, options.seed + drawn)


def confirmation(name: str) -> str:
    """The name of the study in which the best trials of another one are confirmed."""
    return f"{name}{CONFIRMED}"


def _sampler(options: SweepOptions, seed: int) -> "optuna.samplers.BaseSampler":
    import optuna

    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    return samplers[options.sampler](seed=seed % 2**32)


def _pruner(options: SweepOptions) -> "optuna.pruners.BasePruner":
    import optuna

    if options.pruner == "none":
        return optuna.pruners.NopPruner()

    class Halving(optuna.pruners.SuccessiveHalvingPruner):  # type: ignore[misc]
        """Successive halving in which a trial that was taken over does not compete twice."""

        def prune(self, study: "optuna.Study", trial: "FrozenTrial") -> bool:
            return bool(super().prune(_Slots(study), trial))

    return Halving(min_resource=options.min_epochs, reduction_factor=options.reduction)


class _Slots:
    """A study of which only the trials in `slots` are seen."""

    def __init__(self, study: "optuna.Study") -> None:
        self._study = study

    def get_trials(self, **_: bool) -> "list[FrozenTrial]":
        return slots(self._study)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def values_of(trial: "FrozenTrial") -> dict[str, Any]:
    """The values of a trial, whether it drew them or was given them."""
    return dict(trial.user_attrs.get(VALUES) or tidy(trial.params))


def slots(study: "optuna.Study") -> "list[FrozenTrial]":
    """The trials of a study, by number, without those that others have taken the place of."""
    trials = study.get_trials(deepcopy=False)
    replaced = {
        number for trial in trials for number in trial.system_attrs.get("retry_history", [])
    }
    return [trial for trial in trials if trial.number not in replaced]


def want(study: "optuna.Study", trials: int) -> None:
    """Let the study have so many trials in the end, or as many as are there, and be worked on."""
    study.set_user_attr(WANTED, trials)
    study.set_user_attr(STOPPED, False)


def stop(study: "optuna.Study") -> None:
    """Let no worker take another trial until the next call of `want`."""
    study.set_user_attr(STOPPED, True)


def is_stopped(study: "optuna.Study") -> bool:
    """Whether `stop` was called since."""
    return bool(study.user_attrs.get(STOPPED))


def wanted(study: "optuna.Study") -> int:
    """How many trials it is to have: those that were asked for, or that are there."""
    return max(_asked(study), len(slots(study)))


def _asked(study: "optuna.Study") -> int:
    return int(study.user_attrs.get(WANTED, 0))


def fill_with(study: "optuna.Study", wanted: Sequence[dict[str, Any]]) -> None:
    """Let there be a trial with each of these values, the new ones waiting."""
    for values in missing(study, wanted):
        study.enqueue_trial({}, user_attrs={VALUES: values})


def missing(study: "optuna.Study", wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the values with which there is no trial yet."""
    there = [trial.user_attrs.get(VALUES) for trial in slots(study)]
    return [values for values in wanted if values not in there]


def is_over(study: "optuna.Study") -> bool:
    """Whether every trial that is wanted has ended, in whatever way."""
    trials = slots(study)
    return len(trials) >= _asked(study) and all(trial.state.is_finished() for trial in trials)


def completed(study: "optuna.Study") -> "list[FrozenTrial]":
    """The trials that were trained to their end, the best first."""
    import optuna

    trials = [trial for trial in slots(study) if trial.state == optuna.trial.TrialState.COMPLETE]
    down = study.direction == optuna.study.StudyDirection.MAXIMIZE
    return sorted(trials, key=lambda trial: -trial.value if down else trial.value)


def retry_passing(study: "optuna.Study", trial: "FrozenTrial") -> None:
    """Let a trial wait again that failed for a reason that may pass, a few times."""
    if will_be_retried(trial):
        time.sleep(PAUSE_SECONDS)  # or a store that is down for a moment would fail all trials
        _wait_again(study, trial)


def will_be_retried(trial: "FrozenTrial") -> bool:
    """Whether a trial that failed takes its turn again by itself."""
    deaths = len(trial.system_attrs.get("retry_history", []))
    return may_pass(trial) and trial.user_attrs.get(FAILURES, 0) <= RETRIES and deaths < DEATHS


def may_pass(trial: "FrozenTrial") -> bool:
    """Whether a trial failed for a reason that may pass.

    Without a reason its process died, or the database failed as it was to be noted.
    """
    return trial.state.name == "FAIL" and bool(trial.user_attrs.get(PASSING, True))


def renew(study: "optuna.Study") -> None:
    """Let the trials wait again that failed for a reason that may have passed, as often as others.

    Call it before any worker takes a trial: one may be about to let its own wait again.
    """
    for trial in slots(study):
        if may_pass(trial):
            _wait_again(study, trial, without=(FAILURES,))


def find_lost(study: "optuna.Study") -> bool:
    """Let trials wait whose worker died before it let them; return whether any does.

    Call it when no worker takes trials any more.
    """
    lost = [trial for trial in slots(study) if will_be_retried(trial)]
    for trial in lost:
        _wait_again(study, trial)
    return bool(lost)


def _take_over(study: "optuna.Study", trial: "FrozenTrial") -> None:
    """Let a trial wait again whose process died, but not for ever."""
    if len(trial.system_attrs.get("retry_history", [])) < DEATHS:
        _wait_again(study, trial)


def _wait_again(study: "optuna.Study", trial: "FrozenTrial", without: Collection[str] = ()) -> None:
    """Add a trial that takes the place of this one, unless another process has done so.

    Args:
        study: the study.
        trial: one that has failed; why it did is not what its successor fails of.
        without: further attributes that the successor does not get.
    """
    import optuna

    if trial.number in {slot.number for slot in slots(study)}:
        dropped = {ERROR, PASSING, *without}
        failed = copy.copy(trial)
        failed.user_attrs = {k: v for k, v in trial.user_attrs.items() if k not in dropped}
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, failed)


def has_work(study: "optuna.Study") -> bool:
    """Whether there is a trial to be taken: one that waits, or is wanted and not there yet."""
    trials = slots(study)
    waiting = any(trial.state.name == "WAITING" for trial in trials)
    return waiting or len(trials) < _asked(study)


def end_stale(study: "optuna.Study") -> None:
    """Let each trial whose process died wait again, as a new one."""
    import optuna

    running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
    for trial in running:
        seconds = (datetime.now() - trial.datetime_start).total_seconds()
        if seconds > HEARTBEAT_SECONDS and trial.user_attrs.get(BEATEN) != trial.number:
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                _beat(study, trial)
    optuna.storages.fail_stale_trials(study)


def _beat(study: "optuna.Study", trial: "FrozenTrial") -> None:
    """Give a trial one heartbeat: Optuna misses only those of which there was one.

    A process that died right after it had taken a trial left none.
    """
    storage = study._storage
    storage.record_heartbeat(trial._trial_id)
    storage.set_trial_user_attr(trial._trial_id, BEATEN, trial.number)
