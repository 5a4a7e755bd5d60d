"""Commands listen only on the loopback address, and no argument is a password."""

import ipaddress
import subprocess
from typing import Any, NamedTuple

import psutil
import pytest

from tests.conftest import Starter
from tests.project import Project, free_port, wait_until
from tests.services import is_open, postgres

pytestmark = pytest.mark.slow
MARK = "sesame"  # the password of the database


class Seen(NamedTuple):
    """Arguments of a command and its child processes, and the addresses on which they listen."""

    addresses: list[str]
    arguments: list[str]


def look(process: "subprocess.Popen[Any]") -> Seen:
    pids = {process.pid, *(one.pid for one in psutil.Process(process.pid).children(recursive=True))}
    sockets = [socket for socket in psutil.net_connections("inet") if socket.pid in pids]
    processes = [one for one in psutil.process_iter(["cmdline"]) if one.pid in pids]
    return Seen(
        [socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN],
        [argument for one in processes for argument in one.info["cmdline"] or ()],
    )


def test_ui_listens_on_the_loopback_and_no_argument_is_a_password(
    project: Project, start: Starter
) -> None:
    """The password is in the URL of a database."""
    port = free_port()
    with postgres(MARK) as database:
        url = database.address.replace("test@", f"test:{MARK}@")
        variables = {"MLFLOW_UI_PORT": str(port), "MLFLOW_TRACKING_URI": url, "BROWSER": "true"}
        process = start(project, "python", "-m", "tools.ui", **variables)
        wait_until(lambda: is_open(port) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        seen = look(process)
        process.terminate()
        process.communicate(timeout=300)
    assert seen.addresses
    assert all(ipaddress.ip_address(address).is_loopback for address in seen.addresses)
    assert not [argument for argument in seen.arguments if MARK in argument]
