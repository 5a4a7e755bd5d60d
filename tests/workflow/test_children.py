"""A server is gone soon after the command that started it was told to end, however that is."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.project import ROOT, default_signals, until
from workflow.signals import ENDING

SECONDS = 4  # from a signal to a server's end, at most: twice what COMMAND allows it, and more
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
NOTED = "open(f'{sys.argv[1]}/{os.getpid()}', 'w').close(); "
# once its output is closed, this fails, and the server stays
CHATTY = """
import threading, time
def chat():
    while True:
        print("serving", flush=True)
        time.sleep(0.1)
threading.Thread(target=chat).start()
"""
FAIL = """
while len(os.listdir(sys.argv[1])) < 2:
    time.sleep(0.05)
sys.exit(3) if len(sys.argv) == 2 else time.sleep(60)
"""
# a server and its worker, which both ignore SIGTERM
SERVER = f"""
import os, subprocess, sys
{STUBBORN}
{NOTED}
if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "worker"])
time.sleep(60)
"""
COMMAND = """
import os, sys
from workflow import children
children.END_SECONDS = 1.0
print("serving", flush=True)
sys.exit(children.run([sys.executable, sys.argv[1], sys.argv[2]], os.environ))
"""


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Path]:
    """A folder in which each process of a server leaves its number; none outlives the test."""
    (tmp_path / "noted").mkdir()
    yield tmp_path / "noted"
    for number in running(tmp_path / "noted"):
        os.kill(number, signal.SIGKILL)


def running(noted: Path) -> list[int]:
    """The processes that left their number and still run."""
    numbers = [int(path.name) for path in noted.iterdir()]
    return [number for number in numbers if is_running(number)]


def is_running(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def start(
    noted: Path, server: str = SERVER, terminal: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command that starts such a server, in a session of its own, at a terminal or a pipe.

    The first terminal that a session's leader opens is the one whose end it is told of.
    """
    script = noted.with_name("server.py")
    script.write_text(server, encoding="utf-8")
    place = subprocess.PIPE if terminal is None else terminal
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(script), str(noted)],
        cwd=ROOT,
        stdin=place,
        stdout=place,
        stderr=place,
        start_new_session=True,
        preexec_fn=default_signals if terminal is None else lambda: take(terminal),
    )


def take(terminal: int) -> None:
    """Let a terminal be that of the session that this process leads."""
    default_signals()
    os.close(os.open(os.ttyname(terminal), os.O_RDWR))


@pytest.mark.parametrize(
    "numbers", [[number] for number in ENDING] + [[signal.SIGHUP, signal.SIGTERM, signal.SIGINT]]
)
def test_signals_end_a_server_that_ignores_them(noted: Path, numbers: list[signal.Signals]) -> None:
    with start(noted) as command:
        until(lambda: len(running(noted)) == 2)
        for number in numbers:
            command.send_signal(number)
            time.sleep(0.3)
        until(lambda: not running(noted), SECONDS)
        assert command.wait(SECONDS) == 0


def test_a_closed_terminal_ends_the_server(noted: Path) -> None:
    ours, its = pty.openpty()
    command = start(noted, terminal=its)
    os.close(its)
    until(lambda: len(running(noted)) == 2)
    os.close(ours)
    until(lambda: not running(noted), SECONDS)
    assert command.wait(SECONDS) == 0


def test_a_closed_output_keeps_no_server_alive(noted: Path) -> None:
    with start(noted, CHATTY + SERVER) as command:
        assert command.stdout is not None
        command.stdout.readline()
        command.stdout.close()
        until(lambda: len(running(noted)) == 2)
        command.terminate()
        until(lambda: not running(noted), SECONDS)
        assert command.wait(SECONDS) == 0


def test_a_server_that_fails_leaves_no_worker_and_its_status(noted: Path) -> None:
    with start(noted, SERVER.replace("time.sleep(60)", FAIL)) as command:
        assert command.wait(60) == 3
    assert len(list(noted.iterdir())) == 2
    assert running(noted) == []
