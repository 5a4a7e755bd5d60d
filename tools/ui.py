"""`make ui`: the MLflow UI on the loopback, opened at this project's runs.

With a server in MLFLOW_TRACKING_URI, that server's page is opened instead.
"""

import os
import socket
import sys
import threading
import time
import webbrowser
from contextlib import suppress

from workflow import children, cli
from workflow.runs import store
from workflow.runs.links import DEFAULT_PORT, link

PORT = "MLFLOW_UI_PORT"
QUIET = {  # two processes and 0.5 GB instead of fifteen and 2 GB
    "MLFLOW_WORKERS": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def show_when_ready(page: str, port: int) -> None:
    """Wait until the server answers, then show the page."""
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex((children.HOST, port)):
                break
        time.sleep(0.2)
    show(page)


def show(page: str) -> None:
    """Print an address and open it in the user's browser, if there is one."""
    webbrowser.open(page)
    with suppress(BrokenPipeError):  # nobody reads it any more
        print(f"\nThe runs: {page}\n", flush=True)


@cli.command(__doc__)
@children.port_option(PORT, default=DEFAULT_PORT)
def main(port: int) -> int:
    uri = store.tracking_uri()
    if store.is_server(uri):
        show(link(store.connect()))
        return 0
    children.require_free(port, PORT)
    page = link(store.connect(), server=f"http://{children.HOST}:{port}")
    threading.Thread(target=show_when_ready, args=(page, port), daemon=True).start()
    command = [sys.executable, "-m", "mlflow", "ui", "--host", children.HOST, "--port", str(port)]
    # not an argument, which others see: the store's address may have a password
    return children.run(command, {**QUIET, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri})


if __name__ == "__main__":
    cli.run("make ui", main)
