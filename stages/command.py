"""What every command does around its work: end on signals, and fail with one clear message."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil

WATCH_SECONDS = 0.5
AGAIN_SECONDS = 0.1
PATIENCE_SECONDS = 10.0  # for a store that answers; then a signal ends what it is doing
INITS = ("systemd", "init", "launchd", "tini")  # they take in whom a dead process leaves behind
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish")


class UserError(Exception):
    """Something that the user can mend; its text says what is wrong and what to do."""


def run(stage: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`; a failure ends the process with one message and a non-zero status.

    What DVC removed before it started the stage is put back when the stage fails.
    """
    end_on_signals()
    end_with_dvc()
    prepare_environment()
    try:
        main()
    except BaseException as error:
        lost = "" if restore(stage) else f"\n`dvc checkout {stage}` brings back data/{stage}."
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"{stage}: {message}{lost}")


def tool(name: str, main: Callable[[], int | None]) -> None:
    """Run the `main` of a command beside the stages, and end with the status that it returns.

    A failure ends the process with one message and a non-zero status.
    """
    end_on_signals()
    prepare_environment()
    try:
        status = main()
    except BaseException as error:
        message = explain(error, f"`{name}`")
        if message is None:
            raise
        sys.exit(f"{name}: {message}")
    sys.exit(status)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).partition("\n")[0]


class Ended(SystemExit):
    """A signal ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def end_on_signals() -> None:
    """Let a termination or a closed terminal end the process through its clean-up."""
    heeded = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup ignores SIGHUP on purpose
    ]
    _heed(heeded)
    sys.unraisablehook = partial(_raise_again, heeded, sys.unraisablehook)


def _heed(numbers: Sequence[int]) -> None:
    """Let these signals end the process, once: a group that is terminated often gets several."""

    def end(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    for number in numbers:
        signal.signal(number, end)


def _raise_again(
    numbers: Sequence[int],
    report: Callable[["sys.UnraisableHookArgs"], object],
    dropped: "sys.UnraisableHookArgs",
) -> None:
    """Send a signal again whose exception Python dropped, since it was raised in a finalizer.

    That of SQLAlchemy's objects runs after each epoch: without this, one signal in 75 was lost.
    """
    if isinstance(dropped.exc_value, Ended):
        _heed(numbers)
        _send_later(dropped.exc_value.number)
    elif isinstance(dropped.exc_value, KeyboardInterrupt):
        _send_later(signal.SIGINT)
    else:
        report(dropped)


def _send_later(number: int) -> None:
    """Send this process a signal, once what it is in the midst of is over."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), number))
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let signals that would end the process wait until the block is done, within limits.

    An exception in the midst of a transaction can leave a database locked for this process itself,
    which then waits for itself as it cleans up.
    """
    heeded = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {n: handler for n, handler in heeded.items() if handler is not signal.SIG_IGN}
    waiting: list[int] = []

    def deliver(*_: object) -> None:
        while before:
            signal.signal(*before.popitem())
        if waiting:
            os.kill(os.getpid(), waiting.pop())

    def wait(number: int, _: object) -> None:
        if not waiting:
            signal.signal(signal.SIGALRM, deliver)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
        waiting[:] = [number]

    for number in list(before):
        signal.signal(number, wait)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        deliver()


def end_with_dvc() -> None:
    """Let the stage end when the DVC that runs it is gone.

    DVC that is killed leaves its stage behind, and the next `dvc repro` starts another one.
    """
    if "DVC_STAGE" not in os.environ:
        return
    before = _ancestors()
    gone = _is_orphan()

    def watch() -> None:
        while not gone and _ancestors() == before:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _ancestors() -> list[int]:
    """The process that started this one and, where that is the shell of DVC, DVC itself."""
    with suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        return [parent.pid, *([parent.ppid()] if parent.name() in SHELLS else [])]
    return []


def _is_orphan() -> bool:
    """Whether DVC was killed before this could note it: the system's first process took it in."""
    with suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        above = parent.parent() if parent.name() in SHELLS else parent
        first = above is None or above.pid == 1 or above.name() in INITS
        return first and not (above and _is_dvc(above))
    return False


def _is_dvc(process: psutil.Process) -> bool:
    with suppress(psutil.AccessDenied):  # then it is the system's, and not DVC
        return "dvc" in {Path(argument).name for argument in process.cmdline()}
    return False


def prepare_environment() -> None:
    """Quiet what TensorFlow and MLflow would print or send on their own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def explain(error: BaseException, again: str = "`dvc repro`") -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help.

    Args:
        error: what was raised.
        again: the command to run again once it is mended.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. {_advice(error, again)}"
    if isinstance(error, OSError):  # from a library, which says more in its text
        return f"{error.strerror or error}. {_advice(error, again)}"
    return None


def restore(stage: str) -> bool:
    """Put a stage's outputs of the last good run back in place; False where that failed.

    DVC removes a stage's outputs before it runs the command, so a command that fails,
    over a wrong parameter say, would leave the user with less than before.
    """
    if os.environ.get("DVC_STAGE") != stage or Path("data", stage).exists():
        return True
    lock = Path("dvc.lock")
    if not lock.exists() or f"\n  {stage}:\n" not in lock.read_text(encoding="utf-8"):
        return True  # the stage never ended well, so there was nothing
    command = [sys.executable, "-m", "dvc", "checkout", "--quiet", stage]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _advice(error: OSError, again: str) -> str:
    if error.errno == errno.ENOSPC:
        return f"Free some space and run {again} again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Give yourself the right to use it and run {again} again."
    if error.errno == errno.ENOENT and "data" in Path(str(error.filename)).parts:
        return "Run `dvc repro`, which makes what is missing."
    return f"Mend that and run {again} again."
