"""Real servers for tests, each on a port of its own, gone when the block ends."""

import base64
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from tests.project import QUIET, Project, default_signals, free_port, until, wait_for
from workflow import files
from workflow.runs import training_run

PASSWORD = "password-of-ann"  # at the web server


class Database(NamedTuple):
    """A database server: its address, as SQLAlchemy takes it, and what lets it be away a while."""

    address: str
    restart: Callable[[float], None]


@contextmanager
def postgres(password: str = "") -> Iterator[Database]:
    """Debian's PostgreSQL with an empty database; it trusts all where there is no password."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("PostgreSQL is not installed")
    folder, port = Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses root
    if user:
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*user, str(binaries[-1] / program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    (folder / "password").write_text(password or "unused", encoding="utf-8")
    auth = f"--auth={'scram-sha-256' if password else 'trust'}"
    run("initdb", auth, "--username=test", "--no-sync", f"--pwfile={folder}/password")
    options = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
    )

    def start() -> None:
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")

    def restart(seconds: float) -> None:
        run("pg_ctl", "-m", "immediate", "stop")
        time.sleep(seconds)
        start()

    start()
    try:
        yield Database(f"postgresql://test@127.0.0.1:{port}/postgres", restart)
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def started(
    folder: Path, *command: str, output: str = os.devnull, **environment: str
) -> "subprocess.Popen[bytes]":
    """Start a server; its output goes to a file, since a full pipe would stop it."""
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


def installed(name: str) -> str:
    """The path of a server's program; without it, the test is skipped."""
    program = shutil.which(name, path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


@contextmanager
def ending(process: "subprocess.Popen[bytes]", port: int) -> Iterator[None]:
    """Wait until a server listens on a port; it ends with the block."""
    try:
        until(lambda: is_open(port))
        yield
    finally:
        process.terminate()  # and not SIGKILL: it ends its own workers
        process.wait(timeout=30)


@contextmanager
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """An MLflow server with its files in a folder; its address."""
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    stores = ("--backend-store-uri", f"sqlite:///{folder}/served.db")
    artifacts = ("--artifacts-destination", f"{folder}/files")
    command = ("mlflow", "server", "--port", str(port), *stores, *artifacts)
    with ending(started(folder, *command, **QUIET), port):
        wait_for(f"{address}/health")
        yield address


class Cluster(NamedTuple):
    """A Dask scheduler and its workers, each started in a copy of a project.

    What they print is in the file `output`.
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
    """A Dask scheduler and workers, each in a copy of a project, below a folder."""
    address, output = f"{protocol}://127.0.0.1:{free_port()}", folder / "output"

    def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        if not (folder / name / "data").exists():  # else it is started again
            ignored = shutil.ignore_patterns(training_run.FOLDER)
            shutil.copytree(
                project, folder / name, symlinks=True, ignore=ignored, dirs_exist_ok=True
            )
        command = ["python", "-m", "dask", *arguments, "--no-dashboard"]
        return started(folder / name, *command, output=str(output), **environment)

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
            process.terminate()
        for process in [*all_workers, scheduler]:
            process.wait(timeout=30)


@contextmanager
def ssh() -> Iterator[tuple[str, Path]]:
    """Debian's SSH server for this user: its address without a path, and the client's key."""
    program, port = installed("sshd"), free_port()
    with tempfile.TemporaryDirectory(prefix="ssh-") as name:
        folder = Path(name)
        for own in ("host", "client"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / own)]
            subprocess.run(command, check=True)
        shutil.copyfile(folder / "client.pub", folder / "allowed")
        options = {
            "ListenAddress": "127.0.0.1",
            "Port": port,
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "allowed",
            "PidFile": "none",
            "PasswordAuthentication": "no",
            "StrictModes": "no",
            "Subsystem": "sftp internal-sftp",
        }
        arguments = [f"-o{option}={value}" for option, value in options.items()]
        Path("/run/sshd").mkdir(exist_ok=True)
        with ending(started(folder, program, "-D", "-f", "/dev/null", *arguments), port):
            yield f"ssh://127.0.0.1:{port}", folder / "client"


class Pages(SimpleHTTPRequestHandler):
    """Answers with an ETag, by which DVC sees what changed; `/private/` is for ann alone.

    `/signed/` leads there by an address with a signature.
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
    """The address of a web server that has the files of a folder."""
    handler = partial(Pages, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def proxy(folder: Path, site: str, port: int) -> Iterator[None]:
    """Debian's nginx with a site, which listens on a port and finds its certificate in the folder.

    That is `certificate.pem` with the key `key.pem`, for 127.0.0.1.
    """
    program = installed("nginx")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    where = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*new, *names, *where], check=True, capture_output=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = [f"{kind}_temp_path {folder}/{kind};" for kind in kinds]
    settings = folder / "nginx.conf"
    http = "\n".join(["access_log off;", *temporary, site])
    start = f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
    settings.write_text(f"{start}http {{\n{http}\n}}\n", encoding="utf-8")
    with ending(started(folder, program, "-e", "stderr", "-c", str(settings)), port):
        yield


def is_open(port: int) -> bool:
    """Whether something listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
