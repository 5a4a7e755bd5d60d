"""`make ui`: serve the MLflow UI on the loopback and open it at this project's runs.

If MLFLOW_TRACKING_URI names a server, open that server's page instead.
"""

import os
import socket
import sys
import threading
import time
import webbrowser
from contextlib import suppress

from workflow import store
from workflow.commands import command, port_option, run_command
from workflow.processes import LOOPBACK, check_port_is_free, run_server

PORT = "MLFLOW_UI_PORT"
SERVER_ENVIRONMENT = {  # two processes and 0.5 GB instead of fifteen and 2 GB
    "MLFLOW_WORKERS": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
POLL_SECONDS = 0.2


def open_page_when_ready(url: str, port: int) -> None:
    """Wait until the server accepts connections, then open the page."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                break
        time.sleep(POLL_SECONDS)
    open_page(url)


def open_page(url: str) -> None:
    """Print a URL and open it in the user's browser, if there is one."""
    webbrowser.open(url)
    with suppress(BrokenPipeError):  # standard output may be closed while the server runs
        print(f"\nThe runs: {url}\n", flush=True)


@command(__doc__)
@port_option(PORT, default=store.DEFAULT_UI_PORT)
def main(port: int) -> int:
    uri = store.tracking_uri()
    if store.is_server(uri):
        open_page(store.experiment_url(store.connect()))
        return 0
    check_port_is_free(port, PORT)
    url = store.experiment_url(store.connect(), f"http://{LOOPBACK}:{port}")
    threading.Thread(target=open_page_when_ready, args=(url, port), daemon=True).start()
    server = [sys.executable, "-m", "mlflow", "ui", "--host", LOOPBACK, "--port", str(port)]
    # The store's URI may have a password, and others can see the arguments of a process.
    environment = {**SERVER_ENVIRONMENT, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    return run_server(server, environment)


if __name__ == "__main__":
    run_command("make ui", main)
