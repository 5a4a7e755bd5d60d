import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stages.command import UserError, explain, run


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    """`run` sets signal handlers; the tests' own process keeps the ones it had."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_user_error_becomes_one_message_and_a_non_zero_status() -> None:
    def main() -> None:
        raise UserError("params.yaml is wrong")

    with pytest.raises(SystemExit) as raised:
        run("pad", main)
    assert raised.value.code == "pad: params.yaml is wrong"


def test_full_disk_says_to_free_space() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/.pad.partial/x.npy")
    message = explain(error)
    assert message is not None
    assert "No space left" in message
    assert "x.npy" in message
    assert "Free some space" in message


def test_unreadable_file_is_named() -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "params.yaml")
    message = explain(error)
    assert message is not None
    assert message.startswith("params.yaml: Permission denied")


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run("pad", main)


def test_sigterm_ends_a_stage_through_its_clean_up() -> None:
    code = """
import os, signal, stages.command
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        print("cleaned up")
stages.command.run("pad", main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "cleaned up\n"
    assert done.returncode == 128 + signal.SIGTERM
