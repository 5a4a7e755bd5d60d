"""`sentiment demo`: try the champion on a page."""

import os
import sys
from pathlib import Path

import click

from extras.common.operations import connect_to_version
from workflow.loopback import LOOPBACK, check_port_is_free

PAGE = Path(__file__).with_name("page.py")
# Nothing leaves the machine, and no button leads to a cloud.
STREAMLIT_CONFIG = {
    "server.address": LOOPBACK,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Listen on this port of the loopback address.",
)
def command(port: int) -> None:
    """Try the champion on a page, which shows the words that matter."""
    check_port_is_free(port)
    version = connect_to_version(None)
    click.echo(f"Version {version.version} of {version.name} at http://{LOOPBACK}:{port}")
    config = STREAMLIT_CONFIG | {"server.port": str(port)}
    options = [f"--{key}={value}" for key, value in config.items()]
    arguments = [sys.executable, "-m", "streamlit", "run", str(PAGE), *options]
    os.execv(sys.executable, arguments)  # so that a signal reaches Streamlit
