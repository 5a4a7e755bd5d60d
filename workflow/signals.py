"""Signals that end the process: raised at once, or at the end of what they must not cut short."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AT_ONCE_SECONDS = 1.0  # a process group that is ended often gets several signals at the same time


class Interrupted(SystemExit):
    """A signal ends the process; its exit status is the one that a shell gives."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"


class _State:
    """The first signal that came, when, and how many blocks defer it."""

    number: int | None = None
    came = 0.0
    deferring = 0


_state = _State()


def raise_signals() -> None:
    """From now on raise `Interrupted` in the main thread when a signal would end the process.

    A second signal, more than `AT_ONCE_SECONDS` after the first, ends the process at once.
    """
    _state.number = None
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, _handle)


def _handle(number: int, _: object) -> None:
    now = time.monotonic()
    if _state.number is None:
        _state.number, _state.came = number, now
        if not _state.deferring:
            raise Interrupted(number)
    elif now - _state.came > AT_ONCE_SECONDS:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def deferred() -> Iterator[None]:
    """Let no signal cut the block short; one that came meanwhile is raised at its end.

    Raises:
        Interrupted: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():  # no signal is raised there
        yield
        return
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
    if not _state.deferring:
        raise_lost()


def raise_lost() -> None:
    """Raise a signal that came and is not being raised.

    It was deferred, or lost: Python prints and forgets what is raised in a finalizer.

    Raises:
        Interrupted: there is one.
    """
    if _state.number is not None and not isinstance(sys.exception(), Interrupted):
        raise Interrupted(_state.number)


def has_come() -> bool:
    """Whether a signal came."""
    return _state.number is not None
