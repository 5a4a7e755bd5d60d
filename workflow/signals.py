"""Signals that end the process: raised at once, or at the end of what they must not cut short."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 0.1  # until a signal is raised again, if that was lost
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


@contextmanager
def raising() -> Iterator[None]:
    """In the block, raise a signal that would end the process in the main thread, as Interrupted.

    It is raised again as long as it is lost: what is raised in a finalizer is printed and
    forgotten, and TensorFlow may go on after it, or fail in another way. After the block none is
    raised. A second signal, more than `AT_ONCE_SECONDS` after the first, ends the process at once.
    """
    _state.number, _state.deferring = None, 0
    signal.signal(signal.SIGALRM, _raise)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, _handle)
    try:
        yield
        _raise()
    except BaseException as error:
        if _state.number is not None and not isinstance(error, Interrupted):
            raise Interrupted(_state.number) from error
        raise
    finally:
        _state.deferring += 1
        signal.setitimer(signal.ITIMER_REAL, 0)


def _handle(number: int, _: object) -> None:
    now = time.monotonic()
    if _state.number is None:
        _state.number, _state.came = number, now
        _raise()
    elif now - _state.came > AT_ONCE_SECONDS:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _raise(*_: object) -> None:
    """Raise the signal that came, unless it is deferred or being raised already."""
    error = sys.exception()
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    if _state.number is not None and not _state.deferring and error is None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        raise Interrupted(_state.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Let no signal cut the block short; one that came meanwhile is raised at its end."""
    if threading.current_thread() is not threading.main_thread():  # no signal is raised there
        yield
        return
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
    _raise()


def has_come() -> bool:
    """Whether a signal came."""
    return _state.number is not None
