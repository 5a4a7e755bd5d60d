"""Which reviews there are: IMDB's, generated ones, or texts of one's own; and how many.

The settings of each are here, what makes reviews of them in the modules of their names.
"""

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import CREDENTIALS
from sentiment.section import HIDDEN, SEED_LIMIT, Section, flatten
from sentiment.text import Reviews, fingerprints

WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a number as pandas writes it
CLAUSE_LENGTH = 5  # words of the longest opinion of the generated set: "the plot was not good"


class Synthetic(Section):
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    train_reviews: int = Field(ge=100, le=1_000_000)
    test_reviews: int = Field(ge=100, le=1_000_000)
    vocab_size: int = Field(ge=200, le=88_000)
    min_length: int = Field(ge=1, le=10_000)
    max_length: int = Field(ge=1, le=10_000)
    opinions: int = Field(ge=1, le=100)
    cue_distance: int = Field(ge=1, le=10_000)
    negated_share: float = Field(ge=0, le=0.5)
    ironic_share: float = Field(ge=0, le=0.5)
    label_noise: float = Field(ge=0, lt=0.5)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.max_length < self.min_length:
            raise ValueError(
                f"max_length {self.max_length} must be at least min_length {self.min_length}"
            )
        if self.min_length <= self.cue_distance:
            raise ValueError(
                f"min_length {self.min_length} must be greater than "
                f"cue_distance {self.cue_distance}, so that the cue fits"
            )
        if self.cue_distance < CLAUSE_LENGTH * self.opinions:
            raise ValueError(
                f"cue_distance {self.cue_distance} must be at least "
                f"{CLAUSE_LENGTH} times opinions {self.opinions}, so that they fit"
            )
        return self


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


class Fetch(Section):
    dataset: Literal["imdb", "synthetic", "table"]
    url: Address = Field(pattern=r"^https?://[^\s@]+/$")
    archive_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    word_index_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    timeout: float = Field(gt=0, le=3600)
    retries: int = Field(ge=0, le=100)
    synthetic: Synthetic
    table: Table

    @property
    def name(self) -> str:
        """What the data set is called in MLflow."""
        return self.table.name if self.dataset == "table" else self.dataset


class Counts(NamedTuple):
    """Of a part: its reviews, the positive ones, and those that repeat another word for word."""

    reviews: int
    positive: int
    repeated: int


class Summary(NamedTuple):
    """Both parts; test reviews that occur in training; rows that were left out, without a word."""

    train: Counts
    test: Counts
    test_in_training: int
    left_out: int


def summarize(train: Reviews, test: Reviews, left_out: int) -> Summary:
    """Count reviews, and how often they repeat within and between the parts."""
    keys = fingerprints(train), fingerprints(test)
    learned, asked = (
        Counts(len(part), int(part.labels.sum()), len(part) - len(np.unique(key)))
        for part, key in zip((train, test), keys, strict=True)
    )
    return Summary(learned, asked, int(np.isin(keys[1], keys[0]).sum()), left_out)


def as_document(summary: Summary) -> dict[str, Any]:
    """The summary as `summary.json` has it."""
    return summary._asdict() | {
        "train": summary.train._asdict(),
        "test": summary.test._asdict(),
    }


def settings_used(params: Fetch) -> dict[str, Any]:
    """The parameters that the data depends on, by their dotted names.

    Where it was read from is not among them: the digest says what it is.
    """
    flat = flatten(params, "fetch")
    used = {
        "imdb": ("fetch.archive_", "fetch.word_"),
        "synthetic": ("fetch.synthetic.",),
        "table": ("fetch.table.",),
    }[params.dataset]
    known = {name: value for name, value in flat.items() if name.startswith(used)}
    names = {f"fetch.table.{part}" for part in ("train", "test")} & known.keys()
    files = {name: file_name(known[name]) for name in names}
    return {"fetch.dataset": params.dataset, **known, **files}
