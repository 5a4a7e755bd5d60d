"""How a stage and a command end: on a signal, with the DVC that runs it, with one clear message."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workflow import pipeline
from workflow.messages import explain

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WATCH_SECONDS = 0.5
AT_ONCE_SECONDS = 1.0  # a process group that is ended often gets several signals at the same time


class Interrupted(SystemExit):
    """A signal ends the process; its exit status is the one that a shell gives."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"


class _Signals:
    """The signals that came since `note_signals`: the first one's time, and one yet to be raised.

    Nothing is raised in a handler: an exception in a finalizer is lost, and one within a
    transaction leaves the database locked for the process's own clean-up.
    """

    first: float | None = None
    pending: int | None = None

    def note(self, number: int, _: object = None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.pending = now, number
        elif now - self.first > AT_ONCE_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


_signals = _Signals()


def note_signals() -> None:
    """From now on note a signal that would end the process, for `raise_noted` to act on.

    A second one, more than `AT_ONCE_SECONDS` after the first, ends the process at once.
    """
    _signals.first = _signals.pending = None
    for number in _handled(ENDING):
        signal.signal(number, _signals.note)


@contextmanager
def noting_signals() -> Iterator[None]:
    """Note signals in the block alone, unless they are noted already; raise one at its end."""
    before = {number: signal.getsignal(number) for number in ENDING}
    if _signals.note not in before.values():
        note_signals()
    try:
        yield
        raise_noted()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_noted() -> None:
    """Raise the signal that came since the last call, if any: at the end of each batch, say.

    Raises:
        Interrupted: a signal came.
    """
    number, _signals.pending = _signals.pending, None
    if number is not None:
        raise Interrupted(number)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process as SIGINT does: at once, through its clean-up."""

    handled = _handled((signal.SIGTERM, signal.SIGHUP))

    def end(number: int, _: object) -> None:
        for each in handled:  # a process group that is ended often gets several
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    for number in handled:
        signal.signal(number, end)


def _handled(numbers: tuple[signal.Signals, ...]) -> list[signal.Signals]:
    """Those that are not ignored: nohup ignores SIGHUP on purpose."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def run_stage(stage: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`; a failure ends the process with one message and a non-zero status.

    What DVC removed before it started the stage is put back when the stage fails.
    """
    note_signals()
    end_with_dvc()
    quiet_libraries()
    try:
        main()
        raise_noted()  # DVC ignores SIGINT and would start the next stage
    except BaseException as error:
        lost = restore(stage)
        if isinstance(error, Interrupted):
            print(f"{stage}: {error}{lost}", file=sys.stderr)
            raise
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"{stage}: {message}{lost}")


def end_with_dvc() -> None:
    """End the stage, as a signal would, when the DVC that runs it is gone.

    DVC that is killed leaves its stage behind, and the next `dvc repro` would start another one.
    `exec` in `dvc.yaml` makes the stage DVC's direct child, in DVC's process group; a parent of
    another group has taken the stage in, since DVC was killed before this could look.
    """
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    orphan = os.getpgid(parent) != os.getpgrp()

    def watch() -> None:
        while not orphan and os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        if _signals.first is None:  # else DVC got the same signal, which is no second one
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def quiet_libraries() -> None:
    """Quiet what TensorFlow and MLflow would print or send on their own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def restore(stage: str) -> str:
    """Put a stage's outputs of the last good run back in place; say how, where that failed.

    DVC removes a stage's outputs before it runs the command, so a command that fails,
    over a wrong parameter say, would leave the user with less than before.
    """
    if os.environ.get("DVC_STAGE") != stage:
        return ""
    try:
        lost = pipeline.restore(stage)
    except Exception as error:  # why the stage failed has to be said, whatever this is
        return f"\nThe outputs of the last good run were not put back: {error}"
    if not lost:
        return ""
    return (
        f"\nNot put back: {', '.join(lost)}. DVC's cache has them: "
        f"`dvc repro {stage}` with the former params and code brings them back."
    )
