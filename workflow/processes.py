"""Child processes of commands, including servers. They stop when the command stops."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import psutil

from sentiment.errors import UserError
from workflow import files

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.1
TERMINATION_SECONDS = 4.0  # a server that still runs this long after SIGTERM is killed


def processes_in_group(group: int) -> Iterator[psutil.Process]:
    """Yield the running processes of a group.

    Zombies do not count: in a container, there may be no process that reaps them.
    """
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def wait_for_group(group: int, seconds: float) -> bool:
    """Wait until no process of a group runs. Return False if some still run after `seconds`."""
    deadline = time.monotonic() + seconds
    while any(processes_in_group(group)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def terminate_group(group: int) -> None:
    """Terminate all processes of a group by SIGTERM, and those that still run later by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):  # no process is left
            os.killpg(group, number)
        if wait_for_group(group, TERMINATION_SECONDS):
            return


def interrupt(pid: int, number: int) -> None:
    """Send a signal to a process and all its descendants, and wait until they exit."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        group = [process, *process.children(recursive=True)]
        for member in group:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)
        psutil.wait_procs(group)


def check_port_is_free(port: int, option: str) -> None:
    """Check that a server can listen on a port of the loopback address.

    Args:
        port: the port.
        option: the variable by which the user chooses the port, for the message.

    Raises:
        UserError: the port is taken or not allowed.
    """
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise UserError(
            f"Port {port} is taken or not allowed on {LOOPBACK}: {error.strerror}. Choose another "
            f"one with {option}."
        ) from None


def command_output(*command: str) -> str:
    """Return the standard output of a command.

    Raises:
        UserError: the command failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def run_server(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server in the project's root until it exits, or until this process is interrupted.

    Artifact locations are relative to the root. The server prints to standard error, because some
    servers fail if standard output is closed, as by `head`, and keep their port.

    Returns:
        The server's exit status.
    """
    server = subprocess.Popen(
        command, cwd=files.root(), env=environment, process_group=0, stdout=sys.stderr
    )
    try:
        return server.wait()
    finally:
        terminate_group(server.pid)
