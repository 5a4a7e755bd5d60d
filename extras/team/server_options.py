"""`extras/team/server.yaml`: the settings of the team's server, and their limits."""

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import click
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import UserError
from sentiment.section import HIDDEN, Section
from workflow import cli
from workflow.params import load

FILE = Path("extras", "team", "server.yaml")
DATABASE = re.compile(r"postgresql://[^\s/:@?#]+@[^\s/@?#]+/[^\s/:@?#]+")
THREADS = 40  # calls that a worker answers at once: AnyIO's default, which MLflow leaves alone


settings_option = cli.option(
    "--settings",
    "path",
    variable="SETTINGS",
    type=click.Path(path_type=Path),
    default=FILE,
    help="The file with the server's settings.",
)


class Server(Section):
    """All of `server.yaml`."""

    runs: str = Field(
        description="database of runs, postgresql://user@host:port/name; the password belongs into "
        "~/.pgpass or PGPASSWORD"
    )
    users: str = Field(
        description="database of users and their rights, another one: both have migrations"
    )
    artifacts: str = Field(
        pattern=r"^(s3://[^\s/]+(/\S*)?|/\S+)$",
        description="s3://bucket or s3://bucket/folder, whose key is in AWS's usual variables or "
        "files; or a folder of this machine, from /",
    )
    s3_endpoint: str = Field(
        description="address of what speaks S3, where it is not Amazon's; empty otherwise",
    )
    host: str = Field(
        min_length=1,
        description="address to listen on; 127.0.0.1 where a proxy with TLS stands before it",
    )
    port: int = Field(ge=1, le=65535, description="port to listen on")
    allowed_hosts: list[str] = Field(
        min_length=1,
        description="names by which clients call this server, against DNS rebinding; `name:*` for "
        "any port",
    )
    allowed_origins: list[str] = Field(
        description="pages of other servers whose scripts may call this one"
    )
    default_permission: Literal["READ", "USE", "EDIT", "MANAGE"] = Field(
        description="what a user may do at least with what is not their own: EDIT where all train; "
        "with READ, rights are granted to those who may"
    )
    password_seconds: int = Field(
        ge=0,
        le=3600,
        description="for so long a worker takes a password that it has checked without checking it "
        "again, which takes a fifth of a second of a core; and an old one that was changed",
    )
    workers: int = Field(ge=1, le=128, description="processes that answer requests")
    connections: int = Field(
        ge=1,
        le=THREADS,
        description="that each of a worker's three pools (runs, registered models, users) keeps "
        "open; PostgreSQL allows 100 in all by default, and a rush needs two for each call",
    )

    @field_validator("s3_endpoint")
    @classmethod
    def _is_an_endpoint_without_key(cls, address: str) -> str:
        if not re.fullmatch(r"(https?://[^\s@]+)?", address):
            raise PydanticCustomError(
                HIDDEN,
                "An address such as https://s3.example.org is expected. A key does not belong "
                "here, but into AWS's variables or files",
            )
        return address

    @field_validator("runs", "users")
    @classmethod
    def _is_an_address_without_password(cls, address: str) -> str:
        if not DATABASE.fullmatch(address):
            raise PydanticCustomError(
                HIDDEN,
                "An address such as postgresql://user@host:5432/name is expected. A password does "
                "not belong here, but into ~/.pgpass or PGPASSWORD",
            )
        return address

    @model_validator(mode="after")
    def _databases_are_two(self) -> Self:
        if self.runs == self.users:
            raise ValueError(
                f"runs and users are the same database, {self.runs}: each needs its own"
            )
        return self

    @property
    def bucket(self) -> str | None:
        """The bucket of the artifacts, or None if they are in a folder."""
        parts = urlsplit(self.artifacts)
        return parts.netloc if parts.scheme == "s3" else None


def load_options(path: Path) -> Server:
    """Read and check the file.

    Raises:
        UserError: as `workflow.params.load` does, or the settings are where they were before.
    """
    if path == FILE and Path(FILE.name).exists():
        raise UserError(f"{FILE.name} is now {FILE}: move your settings there, and remove it.")
    return load(Server, path)
