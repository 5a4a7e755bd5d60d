"""`extras/team/server.yaml`: the settings of the team's server, and their limits."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sentiment.section import HIDDEN, Section
from workflow.params import load_yaml

FILE = Path("extras", "team", "server.yaml")


def _address(pattern: str, example: str) -> AfterValidator:
    """The check of an address, which is never shown, since it may hold a password."""

    def check(address: str) -> str:
        if not re.fullmatch(pattern, address):
            raise PydanticCustomError(
                HIDDEN,
                f"An address such as {example} is expected. A password or key does not belong "
                "here, but into ~/.pgpass or PGPASSWORD, AWS's variables or files",
            )
        return address

    return AfterValidator(check)


Database = Annotated[
    str,
    _address(
        r"postgresql://[^\s/:@?#]+@[^\s/@?#]+/[^\s/:@?#]+", "postgresql://user@host:5432/name"
    ),
]
Endpoint = Annotated[str, _address(r"(https?://[^\s@]+)?", "https://s3.example.org")]


class Server(Section):
    """All of `server.yaml`, whose comments say what each setting means."""

    runs: Database
    users: Database
    artifacts: str = Field(pattern=r"^(s3://[^\s/]+(/\S*)?|/\S+)$")
    s3_endpoint: Endpoint
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    allowed_hosts: list[str] = Field(min_length=1)
    default_permission: Literal["READ", "USE", "EDIT", "MANAGE"]
    workers: int = Field(ge=1, le=128)


def load_options() -> Server:
    """Read and validate the file.

    Raises:
        UserError: see `workflow.params.load_yaml`.
    """
    return load_yaml(Server, FILE)
