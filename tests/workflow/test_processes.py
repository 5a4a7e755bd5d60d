"""A server stops with the command that started it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sentiment.errors import UserError
from tests.project import ROOT, default_signals, wait_until
from workflow.processes import LOOPBACK, check_port_is_free, command_output

pytestmark = pytest.mark.slow
SECONDS = 10  # maximum from a signal to a server's exit; COMMAND allows it 2
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
WRITE_ID = "open(f'{sys.argv[1]}/{os.getpid()}', 'w').close(); "
FAIL = """
while len(os.listdir(sys.argv[1])) < 2:
    time.sleep(0.05)
sys.exit(3) if len(sys.argv) == 2 else time.sleep(60)
"""
# The server and its worker both ignore SIGTERM.
SERVER = f"""
import os, subprocess, sys
{STUBBORN}
{WRITE_ID}
if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "worker"])
time.sleep(60)
"""
COMMAND = """
import os, sys
from workflow import commands, processes
processes.TERMINATION_SECONDS = 1.0
with commands.exit_with_message("make ui", "`make ui`"):
    sys.exit(processes.run_server([sys.executable, sys.argv[1], sys.argv[2]], os.environ))
"""


@pytest.fixture
def id_folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder to which a server's processes write their ids. Kill them after the test."""
    (tmp_path / "ids").mkdir()
    yield tmp_path / "ids"
    for number in running_processes(tmp_path / "ids"):
        os.kill(number, signal.SIGKILL)


def running_processes(id_folder: Path) -> list[int]:
    """Return the ids of the processes that wrote their id and still run."""
    numbers = [int(path.name) for path in id_folder.iterdir()]
    alive = [p for p in psutil.process_iter(["status"]) if p.info["status"] != "zombie"]
    return [process.pid for process in alive if process.pid in numbers]


def start_command(id_folder: Path, server: str = SERVER) -> "subprocess.Popen[bytes]":
    """Start a command that starts a server, in a session of its own."""
    script = id_folder.with_name("server.py")
    script.write_text(server, encoding="utf-8")
    command = [sys.executable, "-c", COMMAND, str(script), str(id_folder)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, preexec_fn=default_signals)


@pytest.mark.parametrize(
    "numbers", [[signal.SIGINT], [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]]
)
def test_signal_to_the_command_stops_a_server_that_ignores_signals(
    id_folder: Path, numbers: list[signal.Signals]
) -> None:
    with start_command(id_folder) as command:
        wait_until(lambda: len(running_processes(id_folder)) == 2)
        for number in numbers:
            command.send_signal(number)
            time.sleep(0.3)
        wait_until(lambda: not running_processes(id_folder), SECONDS)
        assert command.wait(SECONDS) == 128 + numbers[0]


def test_server_that_fails_leaves_no_worker_and_its_status(id_folder: Path) -> None:
    with start_command(id_folder, SERVER.replace("time.sleep(60)", FAIL)) as command:
        assert command.wait(60) == 3
    assert len(list(id_folder.iterdir())) == 2
    assert running_processes(id_folder) == []


def test_port_that_is_taken_is_one_message() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=f"Port {port} is taken .* Choose another one with PORT"
        ):
            check_port_is_free(port, "PORT")
    check_port_is_free(port, "PORT")


def test_failed_command_is_one_message() -> None:
    assert command_output("echo", "done") == "done\n"
    with pytest.raises(UserError, match=r"ls /nowhere failed: .*No such file"):
        command_output("ls", "/nowhere")
