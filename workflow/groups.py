"""Process groups that commands start, the signals that reach them, and their end."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from workflow.signals import ENDING

POLL_SECONDS = 0.1


def members(group: int) -> Iterator[psutil.Process]:
    """The running processes of a group.

    Zombies are left out: in a container, nobody may be there to reap them.
    """
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def wait(group: int, seconds: float = float("inf")) -> bool:
    """Wait until no process of a group runs, for so long at most; return whether none does."""
    deadline = time.monotonic() + seconds
    while any(members(group)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(group: int, seconds: float) -> None:
    """End all of a group by SIGTERM, and what still runs `seconds` later by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):  # no process is left to get it
            os.killpg(group, number)
        if wait(group, seconds):
            return


@contextmanager
def handling(on_signal: Callable[[int], object]) -> Iterator[None]:
    """In the block, call `on_signal` with the number of each signal that would end this process.

    A signal that is ignored stays so: nohup ignores SIGHUP on purpose.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda received, _: on_signal(received))
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
