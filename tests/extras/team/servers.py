"""A team's server on PostgreSQL and an S3 store, started by the commands of its page."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from filelock import FileLock

from tests.extras.team import page
from tests.project import ROOT, Project, free_port, wait_for
from tests.services import QUIET, kill, postgres, start_server

S3_ENVIRONMENT = ROOT / ".s3"
S3_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ORIGIN = "https://mlflow.example.org"  # what browsers send with each request
DATABASE_PASSWORD = "password of the database"
PASSWORDS = {
    "admin": "password of the administrator",
    "alice": "password of alice",
    "bob": "password of bob",
    "reader": "password of the reader",
}


def install_s3_programs() -> Path:
    """Install moto and AWS's command in `.s3`, unless they are there; return their folder.

    The test is skipped if they cannot be installed.
    """
    S3_ENVIRONMENT.mkdir(exist_ok=True)
    requirements = S3_REQUIREMENTS.read_text(encoding="utf-8")
    installed = S3_ENVIRONMENT / "installed.txt"
    python = S3_ENVIRONMENT / "bin" / "python"
    with FileLock(S3_ENVIRONMENT / "lock"):
        if not installed.exists() or installed.read_text(encoding="utf-8") != requirements:
            install = ["-m", "pip", "install", "--quiet", "--requirement", str(S3_REQUIREMENTS)]
            try:
                subprocess.run([sys.executable, "-m", "venv", S3_ENVIRONMENT], check=True)
                subprocess.run([python, *install], check=True)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"moto cannot be installed: {error}")
            installed.write_text(requirements, encoding="utf-8")
    return python.parent


@contextmanager
def s3_store(programs: Path) -> Iterator[str]:
    """Start a server that imitates an empty S3 store, and yield its URL."""
    port = free_port()
    command = (str(programs / "moto_server"), "--host", "127.0.0.1", "--port", str(port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/moto-api/")
        yield f"http://127.0.0.1:{port}"
    finally:
        kill(process)


class TeamServer:
    """A team's MLflow server with its databases and its bucket.

    Attributes:
        folder: where its commands are run.
        environment: of these commands.
        url: of the server.
    """

    def __init__(self, folder: Path, database: str, s3_url: str, programs: Path) -> None:
        port = free_port()
        variables = {
            "PGHOST": "127.0.0.1",
            "PGUSER": "mlflow",
            "PGPASSWORD": DATABASE_PASSWORD,
            "AWS_ENDPOINT_URL": s3_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret of the store",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ORIGIN,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret of the server",
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
            "MLFLOW_AUTH_CONFIG_PATH": "auth.ini",
        }
        assert variables.keys() == page.variables("**Variables.**")
        base = Project(folder).environment
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **base,
            **QUIET,
            **variables,
            "PGPORT": str(urlsplit(database).port),
            "MLFLOW_PORT": str(port),
            "PATH": f"{base['PATH']}{os.pathsep}{programs}",
        }

    def run(self, text: str, typed: str = "", **environment: str) -> str:
        """Run commands of the page on the server's machine."""
        return page.run(text, self.folder, {**self.environment, **environment}, typed)

    def create_databases_and_bucket(self) -> None:
        self.run("**Databases.**", f"{DATABASE_PASSWORD}\n" * 2, PGUSER="test")
        self.run("**Bucket and config.**")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Start the server, and stop it after the block."""
        command = page.commands("**Start.**")
        process = start_server(self.folder, "bash", "-ec", command, **self.environment)
        try:
            wait_for(f"{self.url}/health")
            yield
        finally:
            kill(process)

    def user(self, name: str) -> dict[str, str]:
        """Return the variables of a user's machine: those of MLflow, and those of the data."""
        mlflow_variables = {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": PASSWORDS[name],
        }
        assert mlflow_variables.keys() == page.variables("## Each machine")
        names = (*page.variables("## The data"), "PATH")
        return {**mlflow_variables, **{name: self.environment[name] for name in names}}


@contextmanager
def team_server(folder: Path) -> Iterator[TeamServer]:
    """Start PostgreSQL and an S3 store, and create what a team's server needs in them."""
    programs = install_s3_programs()
    with ExitStack() as stack:
        database = stack.enter_context(postgres(DATABASE_PASSWORD))
        s3_url = stack.enter_context(s3_store(programs))
        server = TeamServer(folder, database, s3_url, programs)
        server.create_databases_and_bucket()
        yield server
