"""Processes that commands start, servers among them, which end with the command.

A signal that would end the command reaches the group of its children.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click
import psutil

from sentiment.errors import UserError
from workflow import cli, files, signals

POLL_SECONDS = 0.1
HOST = "127.0.0.1"
END_SECONDS = 4.0  # in which a server may end by itself, before it is killed


def members(group: int) -> Iterator[psutil.Process]:
    """The running processes of a group; in a container, nobody may be there to reap zombies."""
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


def port_option(variable: str, default: int) -> Callable[[Any], Any]:
    """The option `--port` of a command that serves."""
    kind = click.IntRange(1, 65535)
    return cli.option("--port", variable=variable, type=kind, default=default, help="Listen here.")


def require_free(port: int, setting: str, host: str = HOST) -> None:
    """Raise UserError where a server cannot listen on this port, which the setting says."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"Port {port} is taken or not allowed on {host}: {error.strerror}. Choose another "
            f"by {setting}."
        ) from None


def output(*command: str) -> str:
    """What a command prints; raises UserError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server in the project's root until it or this process ends; return its exit status.

    Artifact locations are relative to the root. What the server prints goes to standard error: some
    fail over an output that is closed, as by `head`, and keep their port. A signal, or a closed
    terminal, ends all that the server started, within `2 * END_SECONDS`.
    """
    server = None
    try:
        with signals.deferred():  # else it may be left behind
            server = subprocess.Popen(
                command, cwd=files.root(), env=environment, process_group=0, stdout=sys.stderr
            )
        return server.wait()
    finally:
        if server:
            with signals.deferred():
                end(server.pid, END_SECONDS)
