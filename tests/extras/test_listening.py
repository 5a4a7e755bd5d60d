"""Commands that listen do so on the loopback alone, and no argument of theirs is a password."""

import ipaddress
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
import pytest

from tests.conftest import Starter
from tests.project import EPOCHS, Project, free_port, module_of, until
from tests.services import is_open, postgres

MARK = "sesame"  # the password of the database
PORTS = {"ui": "MLFLOW_UI_PORT", "serve": "SERVE_PORT", "demo": "DEMO_PORT"}
ADDRESSES = {"ui": "MLFLOW_TRACKING_URI", "sweep": "SWEEP_STORAGE"}


class Seen(NamedTuple):
    """What a command and all processes that it started show while it serves, or trains.

    Attributes:
        addresses: on which they listen.
        arguments: of all of them.
    """

    addresses: list[str]
    arguments: list[str]


def look(process: "subprocess.Popen[Any]") -> Seen:
    own = psutil.Process(process.pid)
    processes = [own, *own.children(recursive=True)]
    sockets = [socket for each in processes for socket in each.net_connections("inet")]
    return Seen(
        [socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN],
        [argument for each in processes for argument in each.cmdline()],
    )


@pytest.fixture(scope="module", params=["ui", "serve", "demo", "sweep"])
def seen(
    request: pytest.FixtureRequest, swept: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    """A command at work, with a password in the address of a database where it takes one."""
    name, port = request.param, free_port()
    project = swept.copy(tmp_path_factory.mktemp(name) / "project")
    project.change(sweep={"seed": 1})
    checkpoints = project.path / ".checkpoints"
    with postgres(MARK) as database:
        address = database.address.replace("test@", f"test:{MARK}@")
        environment = {PORTS.get(name, ""): str(port), ADDRESSES.get(name, ""): address}
        environment.pop("", None)
        process = project.start("python", "-m", module_of(name), BROWSER="true", **environment)
        try:
            until(lambda: is_open(port) or [*checkpoints.glob("*/epoch-*")] or process.poll())
            assert process.poll() is None, process.communicate()
            yield look(process)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_every_socket_is_on_the_loopback(seen: Seen) -> None:
    assert seen.addresses
    assert [each for each in seen.addresses if not ipaddress.ip_address(each).is_loopback] == []


def test_a_training_listens_on_nothing(project: Project, start: Starter) -> None:
    project.change(train={"epochs": EPOCHS})
    process = start(project, "dvc", "repro")
    until(lambda: [*project.path.glob(".checkpoints/*/epoch-*")])
    assert look(process).addresses == []


def test_no_password_is_an_argument(seen: Seen) -> None:
    assert seen.arguments
    assert [each for each in seen.arguments if MARK in each] == []
