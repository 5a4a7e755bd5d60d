"""Real servers for tests, each on a port of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.small_project import ProjectCopy, default_signals, free_port

# Environment of an MLflow server with one process
QUIET = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def postgres() -> Iterator[str]:
    """Start Debian's PostgreSQL, which trusts everyone, with an empty database; yield its URL."""
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

    run("initdb", "--auth=trust", "--username=test", "--no-sync")
    arguments = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
    )
    run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", arguments, "start")
    try:
        yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def start_server(folder: Path, *command: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a server. Its output goes to the file `server.log`: a full pipe would block it."""
    with (folder / "server.log").open("ab") as printed:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=ProjectCopy(folder).environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            preexec_fn=default_signals,
        )


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a process with its children, if it still runs."""
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # kill it first, because it would replace its children
        process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
