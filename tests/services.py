"""Real servers for tests, each on a port of its own. They stop when the block ends."""

import base64
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import psutil
import pytest

from tests.project import QUIET, Project, default_signals, free_port, wait_for
from workflow import checkpoints, files

PASSWORD = "password-of-ann"  # the user ann has it at the web server


class Database(NamedTuple):
    """A database server: its URL, as SQLAlchemy takes it."""

    address: str


@contextmanager
def postgres(password: str = "") -> Iterator[Database]:
    """Start Debian's PostgreSQL with an empty database. Without a password, it trusts everyone."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    port = free_port()
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses root
    if user:
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*user, str(binaries[-1] / program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    (folder / "password").write_text(password or "unused", encoding="utf-8")
    auth = f"--auth={'scram-sha-256' if password else 'trust'}"
    run("initdb", auth, "--username=test", "--no-sync", f"--pwfile={folder}/password")
    arguments = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
    )

    run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", arguments, "start")
    try:
        yield Database(f"postgresql://test@127.0.0.1:{port}/postgres")
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def start_process(
    folder: Path, *command: str, output: str = os.devnull, **environment: str
) -> "subprocess.Popen[bytes]":
    """Start a server. Its output goes to a file, because a full pipe would block it."""
    with Path(output).open("ab") as printed:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=Project(folder).environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            preexec_fn=default_signals,
        )


@contextmanager
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Start an MLflow server with its files in a folder, and yield its URL."""
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    stores = ("--backend-store-uri", f"sqlite:///{folder}/served.db")
    artifacts = ("--artifacts-destination", f"{folder}/files")
    command = ("mlflow", "server", "--port", str(port), *stores, *artifacts)
    process = start_process(folder, *command, **QUIET)
    try:
        wait_for(f"{address}/health")
        yield address
    finally:
        kill(process)


class Cluster(NamedTuple):
    """A Dask scheduler and its workers, each started in a copy of a project.

    Their output is in the file `output`.
    """

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"
    start_worker: Callable[[str], None]
    output: Path


@contextmanager
def dask(
    folder: Path, project: Path, workers: int, protocol: str = "tcp", **environment: str
) -> Iterator[Cluster]:
    """Start a Dask scheduler and workers, each in a copy of a project, in a folder."""
    address = f"{protocol}://127.0.0.1:{free_port()}"
    output = folder / "output"

    def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        if not (folder / name / "data").exists():  # otherwise it is started again
            ignored = shutil.ignore_patterns(checkpoints.FOLDER)
            shutil.copytree(
                project, folder / name, symlinks=True, ignore=ignored, dirs_exist_ok=True
            )
        command = ["python", "-m", "dask", *arguments, "--no-dashboard"]
        return start_process(folder / name, *command, output=str(output), **environment)

    all_workers = []

    def start_worker(name: str) -> None:
        all_workers.append(start(name, "worker", address, "--nthreads", "1"))

    scheduler = start("scheduler", "scheduler", "--host", address)
    for number in range(workers):
        start_worker(f"worker-{number}")
    try:
        yield Cluster(address, scheduler, all_workers, start_worker, output)
    finally:
        for process in [*all_workers, scheduler]:
            kill(process)


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a process with its children, if it still runs."""
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # kill it first, because it would replace its children
        process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


class Pages(SimpleHTTPRequestHandler):
    """A web server with ETags, by which DVC sees changes. Only ann may read `/private/`.

    `/signed/` redirects there, with a signature in the URL.
    """

    def do_GET(self) -> None:
        secret = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
        private = self.path.startswith("/private/")
        if self.path.startswith("/signed/"):
            self.send_response(HTTPStatus.FOUND)
            moved = self.path.partition("?")[0].replace("signed", "private")
            self.send_header("Location", f"{moved}?signature=secret")
            self.end_headers()
        elif private and self.headers["Authorization"] != f"Basic {secret}":
            self.send_error(HTTPStatus.UNAUTHORIZED)
        else:
            super().do_GET()

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{files.sha256(path)[:16]}"')
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Start a web server that has the files of a folder, and yield its URL."""
    handler = partial(Pages, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def is_open(port: int) -> bool:
    """Return whether a server listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
