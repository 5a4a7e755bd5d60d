"""`extras/team/server.yaml`: the settings of the team's server, and their limits."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import click
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import UserError
from sentiment.section import HIDDEN, Section
from workflow import cli
from workflow.params import load

FILE = Path("extras", "team", "server.yaml")
THREADS = 40  # calls that a worker answers at once: AnyIO's default, which MLflow leaves alone
settings_option = cli.option(
    "--settings",
    "path",
    variable="SETTINGS",
    type=click.Path(path_type=Path),
    default=FILE,
    help="The file with the server's settings.",
)


def _matching(pattern: str, message: str) -> AfterValidator:
    """The check of an address, which is never shown, since it may hold a password."""

    def check(address: str) -> str:
        if not re.fullmatch(pattern, address):
            raise PydanticCustomError(HIDDEN, message)
        return address

    return AfterValidator(check)


Database = Annotated[
    str,
    _matching(
        r"postgresql://[^\s/:@?#]+@[^\s/@?#]+/[^\s/:@?#]+",
        "An address such as postgresql://user@host:5432/name is expected. A password does not "
        "belong here, but into ~/.pgpass or PGPASSWORD",
    ),
]
Endpoint = Annotated[
    str,
    _matching(
        r"(https?://[^\s@]+)?",
        "An address such as https://s3.example.org is expected. A key does not belong here, but "
        "into AWS's variables or files",
    ),
]


class Server(Section):
    """All of `server.yaml`, whose comments say what each setting means."""

    runs: Database
    users: Database
    artifacts: str = Field(pattern=r"^(s3://[^\s/]+(/\S*)?|/\S+)$")
    s3_endpoint: Endpoint
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    allowed_hosts: list[str] = Field(min_length=1)
    allowed_origins: list[str]
    default_permission: Literal["READ", "USE", "EDIT", "MANAGE"]
    password_seconds: int = Field(ge=0, le=3600)
    workers: int = Field(ge=1, le=128)
    connections: int = Field(ge=1, le=THREADS)

    @model_validator(mode="after")
    def _databases_are_two(self) -> Self:
        if self.runs == self.users:
            raise ValueError(
                f"runs and users are the same database, {self.runs}: each needs its own"
            )
        return self

    @property
    def bucket(self) -> str:
        """The bucket of the artifacts; empty where they are in a folder."""
        parts = urlsplit(self.artifacts)
        return parts.netloc if parts.scheme == "s3" else ""


def load_options(path: Path) -> Server:
    """Read and check the file.

    Raises:
        UserError: as `workflow.params.load`, or the settings are in the place of earlier versions.
    """
    if path == FILE and Path(FILE.name).exists():
        raise UserError(f"{FILE.name} is now {FILE}: move your settings there, and remove it.")
    return load(Server, path)
