"""Optuna's storage, which all processes and machines of a sweep share.

Optuna finds a trial whose process is lost by its heartbeat, and enqueues its values again.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import SQLAlchemyError

from sentiment.errors import StoreError, UserError, first_line

HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30  # a trial without a heartbeat for this long is lost
MAX_RETRIES = 3  # of the values of a lost trial, which may need too much memory
# Successive halving: after MIN_EPOCHS epochs, one in REDUCTION_FACTOR trials continues, for
# REDUCTION_FACTOR times as many epochs, and so on.
MIN_EPOCHS = 1
REDUCTION_FACTOR = 3


class StorageError(BaseException):
    """Optuna's storage did not take what a trial reported.

    This is no `Exception`, for which Optuna would report a failure to the same storage.

    Attributes:
        error: the error of the storage.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of Optuna's storage into a `UserError`."""
    try:
        yield
    except StorageError as failed:
        raise storage_error(failed.error) from failed
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        raise storage_error(error) from error


def storage_error(error: Exception) -> UserError:
    """Return the error for a user of an error of Optuna's storage."""
    if isinstance(error, UpdateFinishedTrialError):
        return UserError(
            f"This process did not answer for {GRACE_SECONDS} seconds, and another one has "
            "enqueued its trial. Run the same command again to continue the sweep."
        )
    reason = error.__context__ or error  # Keras removes the cause of an error
    return StoreError(
        f"The database of the sweeps cannot be used: {first_line(reason)}\n"
        "Fix it, or name another one with --storage, and run the same command again."
    )


def hide_lost_heartbeats(failed: threading.ExceptHookArgs) -> None:
    """Print the error of a thread, unless the storage failed: its trial then fails as well."""
    if not issubclass(failed.exc_type, StorageInternalError):
        threading.__excepthook__(failed)


def open_study(url: str, name: str) -> optuna.Study:
    """Open a study in a database. Create it if it does not exist."""
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
