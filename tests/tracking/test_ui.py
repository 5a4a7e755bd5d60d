"""`sentiment ui` takes a free port, and prints the addresses of runs there."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar

import pytest
from mlflow import MlflowClient

from sentiment.errors import UserError
from sentiment.tracking import ui
from tests.command import Command
from tests.small_project import ProjectCopy, free_port, wait_for

Arguments = list[str]
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Ended:
    """A process that has ended."""

    pid = 12345
    stderr: ClassVar[list[str]] = []

    def __enter__(self) -> "Ended":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arguments]:
    """Return the list that gets the arguments of the process that the command starts."""
    arguments: Arguments = []

    def start(command: list[str], **_: object) -> Ended:
        arguments.extend(command[1:])
        return Ended()

    monkeypatch.setattr(subprocess, "Popen", start)
    for name in (
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_REGISTRY_STORE_URI",
        *ui.SETTINGS,
    ):  # the command sets them
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("MLFLOW_PORT", raising=False)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield arguments
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_port_that_is_taken_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = (taken.getsockname()[1], free.getsockname()[1])
        free.close()
        monkeypatch.setattr(ui, "PORTS", ports)
        assert ui.find_port() == ports[1]


def test_no_free_port_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ui, "PORTS", (port,))
        with pytest.raises(UserError, match=f"from {port} to {port}.*MLFLOW_PORT"):
            ui.find_port()


@pytest.mark.usefixtures("params")
def test_the_newest_run_and_all_runs_are_at_the_port_that_is_served(
    empty_store: MlflowClient,
    sentiment: Command,
    started: Arguments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_PORT", "5077")
    empty_store.create_run("0", start_time=9, run_name="no training")
    for start in (2, 3, 1):
        empty_store.create_run("1", start_time=start, run_name=f"run {start}")
    newest = empty_store.search_runs(["1"])[0].info
    pages = "http://127.0.0.1:5077/#/experiments/1/runs"
    assert sentiment("ui").splitlines()[1:5] == [
        "The newest run of imdb, run 3:",
        f"  {pages}/{newest.run_id}?workflowType=machine_learning",
        "All runs of imdb:",
        f"  {pages}?viewStateShareKey=metrics&workflowType=machine_learning",
    ]
    assert started[:5] == ["-m", "mlflow", "ui", "--port", "5077"]
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == empty_store.tracking_uri


@pytest.mark.usefixtures("empty_store", "started", "params")
def test_a_store_without_runs_is_served(sentiment: Command) -> None:
    assert "There is no run of imdb yet" in sentiment("ui")


@pytest.mark.usefixtures("empty_store", "started", "params")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_group_of_the_server(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    sent: list[tuple[int, int]] = []

    def wait(_: Ended) -> int:
        signal.raise_signal(number)
        return -signal.SIGTERM

    signal.signal(number, signal.SIG_IGN)  # its default would end the tests
    monkeypatch.setattr(os, "killpg", lambda *arguments: sent.append(arguments))
    monkeypatch.setattr(Ended, "wait", wait)
    sentiment("ui")
    assert sent == [(Ended.pid, signal.SIGTERM)]


@pytest.mark.slow
def test_ctrl_c_ends_the_ui_which_prints_no_more_than_the_links(fresh: ProjectCopy) -> None:
    port = free_port()
    process = fresh.start(sys.executable, "-m", "sentiment", "ui", f"--port={port}")
    wait_for(f"http://127.0.0.1:{port}/health")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(printed.splitlines()) == 4, printed
    assert printed.splitlines()[-1].startswith("Starting MLflow's UI")
    with pytest.raises(ConnectionRefusedError):  # nothing serves there any more
        socket.create_connection(("127.0.0.1", port))
