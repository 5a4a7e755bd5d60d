"""`make demo`: try the champion on a page, on the loopback address."""

import os
import sys
from pathlib import Path

from workflow import commands, files, processes, store
from workflow.processes import LOOPBACK
from workflow.registry import champion

PAGE = Path(__file__).with_name("app.py")
PORT = "DEMO_PORT"
# Nothing leaves the machine, and no button leads to a cloud.
STREAMLIT_CONFIG = {
    "server.address": LOOPBACK,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


@commands.command(__doc__)
@commands.port_option(PORT, default=8501)
def main(port: int) -> int:
    processes.check_port_is_free(port, PORT)
    version = champion.champion_version()
    print(f"Version {version.version} of {version.name} at http://{LOOPBACK}:{port}", flush=True)
    variables = {"PYTHONPATH": str(files.root()), "MLFLOW_TRACKING_URI": store.tracking_uri()}
    options = [
        f"--{key}={value}" for key, value in (STREAMLIT_CONFIG | {"server.port": port}).items()
    ]
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE), *options]
    return processes.run_server(command, {**os.environ, **variables})


if __name__ == "__main__":
    commands.run_command("make demo", main)
