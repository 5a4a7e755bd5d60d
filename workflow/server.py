"""A server on the loopback that ends with the command that started it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import click

from sentiment.errors import UserError
from workflow import cli, files, groups

HOST = "127.0.0.1"
END_SECONDS = 4.0  # in which a server may end by itself, before it is killed


def port_option(variable: str, default: int) -> Callable[[Any], Any]:
    """The option `--port` of a command that serves."""
    kind = click.IntRange(1, 65535)
    return cli.option("--port", variable=variable, type=kind, default=default, help="Listen here.")


def require_free(port: int, variable: str) -> None:
    """Raise UserError if something listens on a port.

    Args:
        port: the port on the loopback.
        variable: sets another one.
    """
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((HOST, port)) == 0:
            raise UserError(f"Port {port} is taken. Choose another: {variable}={port + 1}")


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server in the project's root; return its exit status, or 0 when a signal ends it.

    Artifact locations are relative to the root. What the server prints goes to standard error: some
    fail over an output that is closed, as by `head`, and keep their port. A signal, or a closed
    terminal, ends all that the server started, within `2 * END_SECONDS`; further signals do not
    hinder that.
    """
    ended: SimpleQueue[int] = SimpleQueue()  # its `put` may interrupt its `get`
    with groups.handling(lambda _: ended.put(0)):
        server = subprocess.Popen(
            command, cwd=files.root(), env=environment, process_group=0, stdout=sys.stderr
        )
        threading.Thread(target=lambda: ended.put(server.wait()), daemon=True).start()
        try:
            return ended.get()
        finally:
            groups.end(server.pid, END_SECONDS)
