"""The settings of texts of one's own, and what a label and an address of theirs may be."""

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import CREDENTIALS
from sentiment.section import HIDDEN, SEED_LIMIT, Section

WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a number as pandas writes it


def file_name(address: str) -> str:
    """The name of a file, by its path or its address, whose query is left out."""
    return PurePosixPath(urlsplit(address).path if "://" in address else address).name


def label_text(value: Any) -> Any:
    """A finite number or a truth value as JSON has it, also where a CSV has it as text.

    So 1, 1.0, `1` and `1.0` are one label, and so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else WHOLE.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def without_secret(address: Any) -> Any:
    """An address, unless it may hold a secret: params.yaml and dvc.lock keep it as it is."""
    if isinstance(address, str) and CREDENTIALS.search(address):
        raise PydanticCustomError(
            HIDDEN, "A password does not belong here, but in ~/.netrc or AWS's variables"
        )
    if isinstance(address, str) and re.search("://.*[?#]", address):
        raise PydanticCustomError(
            HIDDEN,
            "An address with ? or # may hold a signature or a token, and params.yaml and "
            "dvc.lock would keep it. Leave that part out, or download the file and name it",
        )
    return address


Address = Annotated[str, BeforeValidator(without_secret)]


class Table(Section):
    train: Address = Field(min_length=1)
    test: Address = Field(min_length=1)
    test_share: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0, lt=SEED_LIMIT)
    text: str = Field(min_length=1)
    label: str = Field(min_length=1)
    positive: str = Field(min_length=1)
    group: str | None
    tokenizer: Literal["keras", "unicode"]
    longest: int = Field(ge=1, le=1_000_000_000)

    @field_validator("positive", mode="before")
    @classmethod
    def _is_a_label(cls, value: Any) -> Any:
        return label_text(value)

    @model_validator(mode="after")
    def _groups_can_be_dealt(self) -> Self:
        if self.group is not None and self.test_share > 0.5:
            raise ValueError(
                f"test_share {self.test_share:g} must be at most 0.5 where there is a group: whole "
                "groups are dealt into two parts or more, one of which is set aside"
            )
        return self

    @property
    def name(self) -> str:
        """What the data set is called: the file of its training part."""
        return file_name(self.train)

    @property
    def files(self) -> list[str]:
        """The files of both parts, which may be one."""
        return sorted({self.train, self.test})

    @property
    def relative(self) -> list[str]:
        """Those that are named by a path from the project's root."""
        return [file for file in self.files if "://" not in file and not Path(file).is_absolute()]
