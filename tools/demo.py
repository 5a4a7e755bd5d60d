"""`make demo`: a page to try the champion, on the loopback."""

import os
import sys
from pathlib import Path

from stages import store
from stages.command import tool
from stages.registry import NAME
from tools import champion, server
from tools.server import HOST

PAGE = Path(__file__).with_name("demo_page.py")
PORT = 8501
# nothing leaves the machine, and no button leads to a cloud
SETTINGS = {
    "server.address": HOST,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


def command(number: int) -> list[str]:
    """The command that serves the page."""
    settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
    streamlit = [sys.executable, "-m", "streamlit", "run", str(PAGE)]
    return [*streamlit, f"--server.port={number}", *settings]


def main() -> int:
    number = server.chosen_port("DEMO_PORT", PORT)
    version = champion.reigning().version
    print(f"Version {version} of {NAME} at http://{HOST}:{number}", flush=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(PAGE.parents[1]),
        "MLFLOW_TRACKING_URI": store.tracking_uri(),
    }
    return server.run(command(number), environment)


if __name__ == "__main__":
    tool("make demo", main)
