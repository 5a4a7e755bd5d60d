"""What every stage does around its work: end on signals, and fail with one clear message."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TERMINATED = 128 + signal.SIGTERM


class UserError(Exception):
    """Something that the user can mend; its text says what is wrong and what to do."""


def run(stage: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`; a failure ends the process with one message and a non-zero status.

    What DVC removed before it started the stage is put back when the stage fails.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        main()
    except BaseException as error:
        restore(stage)
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"{stage}: {message}")


def explain(error: BaseException) -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. {_advice(error)}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.strerror}. {_advice(error)}"
    return None


def restore(stage: str) -> None:
    """Put a stage's outputs of the last good run back in place.

    DVC removes a stage's outputs before it runs the command, so a command that fails,
    over a wrong parameter say, would leave the user with less than before.
    """
    if os.environ.get("DVC_STAGE") != stage or Path("data", stage).exists():
        return
    command = [sys.executable, "-m", "dvc", "checkout", "--quiet", stage]
    subprocess.run(command, capture_output=True, check=False)


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "Free some space and run `dvc repro` again; what was there before is unchanged."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Give yourself the right to use it and run `dvc repro` again."
    if error.errno == errno.ENOENT:
        return "Run `dvc repro`, which makes what is missing."
    return "Nothing that was there before was changed."
