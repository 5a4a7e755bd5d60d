"""Run a stage: its messages, its exit status, and what a signal does to it.

A signal only sets a flag, so that it cuts nothing short. A training stops after the current batch.
Everything else takes seconds, and is finished first. A second signal ends the process at once.
"""

import errno
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from sentiment.errors import UserError, redact

if TYPE_CHECKING:
    import keras

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# MLflow's own limits let a server that does not answer hold a training up for minutes.
MLFLOW_HTTP_LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
}
# 1980-01-02: a zip file, which a model is, cannot have a local time before 1980.
EARLIEST_TIME = 315_619_200
NUMPY_DISK_FULL = re.compile(r"\d+ requested and \d+ written")  # NumPy's only hint at a full disk


class Interrupted(BaseException):
    """A signal stopped a training."""


class SignalFlag:
    """The first signal that this process received, if any.

    Attributes:
        number: the number of the signal. None: there was none.
        parent: the process that this one should not outlive, if there is one.
    """

    def __init__(self, parent: int | None = None) -> None:
        self.number: int | None = None
        self.parent = parent
        self._watched: list[signal.Signals] = []

    def watch(self) -> None:
        """Set the flag from now on, instead of what the signals do by default."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
                signal.signal(number, self._receive)
                self._watched.append(number)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.number = number
        for each in self._watched:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, b"\nStopping. Send the signal again to stop at once.\n")

    def callback(self) -> "keras.callbacks.Callback":
        """Return a callback that raises `Interrupted` after a batch if there was a signal.

        It also stops a training whose parent is gone: DVC leaves its stage behind when it is
        killed, and nothing would record what the stage writes.
        """
        import keras

        def check(*_: Any, **__: Any) -> None:
            if self.number is None and self.parent not in (None, os.getppid()):
                sys.stderr.write("The process that started this training has exited.\n")
                self.number = signal.SIGTERM
            if self.number is not None:
                raise Interrupted

        return keras.callbacks.LambdaCallback(on_train_batch_end=check)


def run_stage(name: str, main: Callable[[SignalFlag], None]) -> None:
    """Run a stage's `main`. Exit with one message and a non-zero status if it fails.

    The status is also non-zero if a signal came in a stage that finished: DVC then stops.
    """
    quiet_libraries()
    if time.time() < EARLIEST_TIME:
        sys.exit(f"{name}: the clock says {time.strftime('%Y-%m-%d')}. Set it, and run this again.")
    flag = SignalFlag(os.getppid() if "DVC_STAGE" in os.environ else None)
    flag.watch()
    try:
        main(flag)
    except Interrupted:
        pass
    except Exception as error:
        message = describe_error(error, "`dvc repro`")
        if message is None:
            raise
        sys.exit(f"{name}: {message}")
    if flag.number is not None:
        print(f"{name}: interrupted by {signal.Signals(flag.number).name}", file=sys.stderr)
        sys.exit(128 + flag.number)


def quiet_libraries() -> None:
    """Turn off messages of TensorFlow and MLflow and MLflow's telemetry; limit its requests."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, value in MLFLOW_HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    # MLflow prints tracebacks of errors that `tracking.store.store_errors` turns into messages.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)


def describe_error(error: Exception, retry: str) -> str | None:
    """Return the message about an error for a user, without passwords in URLs.

    Args:
        error: a `UserError` or an `OSError`. Any other exception has no message: only its
            traceback helps.
        retry: what to run again once the problem is fixed.
    """
    if isinstance(error, UserError):
        return redact(str(error))
    if not isinstance(error, OSError):
        return None
    path = "" if error.filename is None else f"{error.filename}: "
    reason = error.strerror or str(error)
    if NUMPY_DISK_FULL.search(str(error)):
        reason = os.strerror(errno.ENOSPC)
    is_full = error.errno == errno.ENOSPC or reason == os.strerror(errno.ENOSPC)
    advice = "Free some space" if is_full else "Fix that"
    return redact(f"{path}{reason}. {advice} and run {retry} again.")
