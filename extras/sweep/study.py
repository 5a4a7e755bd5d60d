"""A sweep's Optuna study: what its trials are, which are done, and which goes next.

All truth is in Optuna's storage. There a study says how many trials it is to have, and whoever
takes one sets it running. One that failed for a reason that may pass, as when its process dies,
waits for the next taker as a new trial with the same values.
"""

import copy
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from extras.common import run_groups
from extras.sweep.space import tidy
from extras.sweep.sweep_options import SweepOptions
from sentiment.errors import StoreError, first_line
from workflow import files

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

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
WANTED = "wanted"  # attribute of a study: how many trials it is to have
VALUES = "values"  # attribute of a trial that draws none: the values that it is given
# attributes of a trial that failed: how often it did, why, and whether that may pass
FAILURES, ERROR, PASSING = "failures", "error", "passing"


def address() -> str:
    return os.environ.get(STORAGE) or f"sqlite:///{files.root() / DATABASE}"


@contextmanager
def as_user_error(*others: type[Exception]) -> Iterator[None]:
    """Turn what SQLAlchemy and Optuna raise over the database, and others, into a StoreError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        raise StoreError(
            f"The database of the sweeps cannot be used: {first_line(error)}\n"
            f"Fix it, or name another in {STORAGE}."
        ) from error


def patiently(call: Callable[[], T]) -> T:
    """Call something again until the database can be used, for a few minutes.

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
    """Connect to a database, once for each process; raises StoreError."""
    import optuna

    class Storage(optuna.storages.RDBStorage):  # type: ignore[misc]
        def record_heartbeat(self, trial_id: int) -> None:
            with suppress(optuna.exceptions.StorageInternalError):  # which would end all later ones
                super().record_heartbeat(trial_id)

        def set_trial_state_values(
            self, trial_id: int, state: "TrialState", values: Sequence[float] | None = None
        ) -> bool:
            if state == optuna.trial.TrialState.RUNNING:
                # Optuna misses only heartbeats of which there was one, should the process die now
                self.record_heartbeat(trial_id)
            return bool(super().set_trial_state_values(trial_id, state, values))

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


def open_study(name: str, options: SweepOptions) -> "optuna.Study":
    """The study of this name, which is made if there is none; no confirmation is pruned."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=name,
        storage=storage(address()),
        pruner=optuna.pruners.NopPruner() if name.endswith(CONFIRMED) else _pruner(options),
        direction="minimize" if options.metric == "val_loss" else "maximize",
        load_if_exists=True,
    )


def _pruner(options: SweepOptions) -> "optuna.pruners.BasePruner":
    import optuna

    if options.pruner == "none":
        return optuna.pruners.NopPruner()

    class Halving(optuna.pruners.SuccessiveHalvingPruner):  # type: ignore[misc]
        """Successive halving in which a trial that was taken over does not compete twice."""

        def prune(self, study: "optuna.Study", trial: "FrozenTrial") -> bool:
            seen = SimpleNamespace(
                get_trials=lambda **_: slots(study),
                direction=study.direction,
                _storage=study._storage,
            )
            return bool(super().prune(seen, trial))

    return Halving(min_resource=options.min_epochs, reduction_factor=options.reduction)


def values_of(trial: "FrozenTrial") -> dict[str, Any]:
    """The values of a trial, whether it drew them or was given them."""
    return dict(trial.user_attrs.get(VALUES) or tidy(trial.params))


def slots(study: "optuna.Study") -> "list[FrozenTrial]":
    """The trials of a study, by number, without those that others have taken the place of."""
    trials = study.get_trials(deepcopy=False)
    replaced = {number for trial in trials for number in _history(trial)}
    return [trial for trial in trials if trial.number not in replaced]


def _history(trial: "FrozenTrial") -> list[int]:
    return list(trial.system_attrs.get("retry_history", []))


def first_number(trial: "optuna.Trial") -> int:
    """The number of a trial, or of the first one that it takes the place of."""
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    return int(attributes.get("failed_trial", trial.number))


def want(study: "optuna.Study", trials: int) -> None:
    """Let the study have so many trials in the end, or as many as are there."""
    study.set_user_attr(WANTED, trials)


def wanted(study: "optuna.Study") -> int:
    """How many trials it is to have: those that were asked for, or that are there."""
    return max(int(study.user_attrs.get(WANTED, 0)), len(slots(study)))


def fill_with(study: "optuna.Study", wanted: Sequence[dict[str, Any]]) -> None:
    """Let there be a trial with each of these values, the new ones waiting."""
    for values in missing(study, wanted):
        study.enqueue_trial({}, user_attrs={VALUES: values})


def missing(study: "optuna.Study", wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the values with which there is no trial yet."""
    there = [trial.user_attrs.get(VALUES) for trial in slots(study)]
    return [values for values in wanted if values not in there]


def ended(study: "optuna.Study") -> "list[FrozenTrial]":
    """The trials that have ended, in whatever way, and take no other turn by themselves."""
    trials = slots(study)
    return [trial for trial in trials if trial.state.is_finished() and not will_be_retried(trial)]


def is_over(study: "optuna.Study") -> bool:
    """Whether every trial that is wanted has ended."""
    return len(ended(study)) >= wanted(study)


def has_work(study: "optuna.Study") -> bool:
    """Whether a trial waits, or is wanted and not there yet."""
    return _has_waiting(study) or len(slots(study)) < wanted(study)


def _has_waiting(study: "optuna.Study") -> bool:
    return any(trial.state.name == "WAITING" for trial in study.get_trials(deepcopy=False))


def prepare_next(study: "optuna.Study", options: SweepOptions) -> None:
    """Let a trial wait, a new one if there is none, and seed the sampler that draws its values.

    It is seeded by how many trials were taken: seeded as before, it would repeat itself.
    """
    import optuna

    if not _has_waiting(study):
        study.enqueue_trial({})
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    taken = sum(trial.state.name != "WAITING" for trial in study.get_trials(deepcopy=False))
    study.sampler = samplers[options.sampler](seed=(options.seed + taken) % 2**32)


def completed(study: "optuna.Study") -> "list[FrozenTrial]":
    """The trials that were trained to their end, the best first."""
    trials = [trial for trial in slots(study) if trial.state.name == "COMPLETE"]
    highest_first = study.direction.name == "MAXIMIZE"
    return sorted(trials, key=lambda trial: trial.value, reverse=highest_first)


def may_pass(trial: "FrozenTrial") -> bool:
    """Whether a trial failed for a reason that may pass.

    Without a reason its process died, or the database failed as it was to be noted.
    """
    return trial.state.name == "FAIL" and bool(trial.user_attrs.get(PASSING, True))


def will_be_retried(trial: "FrozenTrial") -> bool:
    """Whether a trial that failed takes its turn again by itself."""
    failures, deaths = trial.user_attrs.get(FAILURES, 0), len(_history(trial))
    return may_pass(trial) and failures <= RETRIES and deaths < DEATHS


def retry(study: "optuna.Study", afresh: bool = False) -> None:
    """Let the trials wait again that failed for a reason that may pass, or whose process died.

    With `afresh` also those that have failed too often, which then may fail as often again.
    """
    import optuna

    with run_groups.exclusive():  # another command of this folder may do so, too
        optuna.storages.fail_stale_trials(study)
        for trial in slots(study):
            if may_pass(trial) if afresh else will_be_retried(trial):
                # Optuna changes what it is given, and lets the new trial have all attributes
                again = copy.deepcopy(trial)
                for name in (ERROR, FAILURES) if afresh else (ERROR,):
                    again.user_attrs.pop(name, None)
                optuna.storages.RetryHeartbeatStaleTrialCallback()(study, again)
