"""The MLflow UI on the loopback, opened at this project's runs."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser

from stages import store
from stages.command import UserError

HOST = "127.0.0.1"
PORT = 5000
READY_SECONDS = 180


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


def command(uri: str, number: int) -> list[str]:
    """The command that serves the store at `uri`."""
    options = ["--backend-store-uri", uri, "--host", HOST, "--port", str(number)]
    return [sys.executable, "-m", "mlflow", "ui", *options]


def environment() -> dict[str, str]:
    """One worker and no job runner: two processes and 0.5 GB instead of fifteen and 2 GB."""
    quiet = {
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return {**quiet, **os.environ}


def open_when_ready(page: str, number: int) -> None:
    """Wait until the server answers, then say where and open a browser."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, number)) == 0:
                show(page)
                return
        time.sleep(0.2)


def show(page: str) -> None:
    """Print an address and open it in the user's browser, if there is one."""
    print(f"\nThe runs: {page}\n", flush=True)
    webbrowser.open(page)


def serve(uri: str, number: int, page: str) -> int:
    """Serve the store until the server ends, or this process is interrupted or terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # relative artifact locations resolve against the server's working directory
    server = subprocess.Popen(command(uri, number), cwd=store.root(), env=environment())
    threading.Thread(target=open_when_ready, args=(page, number), daemon=True).start()
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    """Serve the store, or open the server that is already there."""
    uri = store.tracking_uri()
    if store.is_server(uri):
        show(store.link(store.connect()))
        return 0
    number = chosen_port("MLFLOW_UI_PORT", PORT)
    return serve(uri, number, store.link(store.connect(), server=f"http://{HOST}:{number}"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"make ui: {error}")
