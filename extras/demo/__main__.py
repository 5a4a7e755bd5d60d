"""`make demo`: a page to try the champion, on the loopback."""

import os
import sys
from pathlib import Path

from workflow.children import HOST

from workflow import children, cli, files
from workflow.registry import champion
from workflow.runs import store

PAGE = Path(__file__).with_name("demo_page.py")
PORT = "DEMO_PORT"
# nothing leaves the machine, and no button leads to a cloud
SETTINGS = {
    "server.address": HOST,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


@cli.command(__doc__)
@children.port_option(PORT, default=8501)
def main(port: int) -> int:
    children.require_free(port, PORT)
    version = champion.current()
    print(f"Version {version.version} of {version.name} at http://{HOST}:{port}", flush=True)
    place = {"PYTHONPATH": str(files.root()), "MLFLOW_TRACKING_URI": store.tracking_uri()}
    settings = [f"--{key}={value}" for key, value in (SETTINGS | {"server.port": port}).items()]
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE), *settings]
    return children.run(command, {**os.environ, **place})


if __name__ == "__main__":
    cli.run("make demo", main)
