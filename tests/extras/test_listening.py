"""Commands that listen do so on the loopback alone, and no argument of theirs is a password."""

import ipaddress
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.conftest import Starter
from tests.project import EPOCHS, Project, free_port, until
from tests.services import is_open, postgres

MARK = "sesame"  # the password of the database
ADDRESSES = {"tools.ui": "MLFLOW_TRACKING_URI", "extras.sweep": "SWEEP_STORAGE"}


class Seen(NamedTuple):
    """The addresses on which a command and all that it started listen, and their arguments."""

    addresses: list[str]
    arguments: list[str]


def look(process: "subprocess.Popen[Any]") -> Seen:
    own = psutil.Process(process.pid)
    processes = [own, *own.children(recursive=True)]
    sockets = [socket for one in processes for socket in one.net_connections("inet")]
    return Seen(
        [socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN],
        [argument for one in processes for argument in one.cmdline()],
    )


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_socket_is_on_the_loopback_and_no_argument_is_a_password(
    name: str, swept: Project, start: Starter, tmp_path: Path
) -> None:
    """Of a command at work, with a password in the address of its database."""
    project, port = swept.copy(tmp_path / "project"), free_port()
    project.change(sweep={"seed": 1})
    checkpoints = project.path / ".checkpoints"
    with postgres(MARK) as database:
        address = database.address.replace("test@", f"test:{MARK}@")
        environment = {"MLFLOW_UI_PORT": str(port), ADDRESSES[name]: address, "BROWSER": "true"}
        process = start(project, "python", "-m", name, **environment)
        until(lambda: is_open(port) or [*checkpoints.glob("*/epoch-*")] or process.poll())
        assert process.poll() is None, process.communicate()
        seen = look(process)
        process.terminate()
        process.communicate(timeout=60)
    assert seen.addresses
    assert all(ipaddress.ip_address(address).is_loopback for address in seen.addresses)
    assert not [argument for argument in seen.arguments if MARK in argument]


def test_a_training_listens_on_nothing(project: Project, start: Starter) -> None:
    project.change(train={"epochs": EPOCHS})
    process = start(project, "dvc", "repro")
    until(lambda: [*project.path.glob(".checkpoints/*/epoch-*")])
    assert look(process).addresses == []
