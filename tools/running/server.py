"""A server on the loopback that ends with the command that started it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from sentiment import files
from sentiment.errors import UserError

HOST = "127.0.0.1"


def chosen_port(variable: str, usual: int) -> int:
    """The port to listen on: what an environment variable says, or the usual one.

    Raises:
        UserError: it is no port, or something else listens there.
    """
    text = os.environ.get(variable, str(usual))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"{variable} is {text}: a number from 1 to 65535 is wanted.")
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((HOST, int(text))) == 0:
            raise UserError(f"Port {text} is taken. Choose another: {variable}={int(text) + 1}")
    return int(text)


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a server in the project's root, until it ends or this process is told to.

    Artifact locations are relative to the root. A signal, or a closed terminal, ends all that the
    server started.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, lambda *_: sys.exit(0))
    server = subprocess.Popen(command, cwd=files.root(), env=environment, process_group=0)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
