"""The params of the dataset, and what the dataset depends on."""

import json
import math
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import CREDENTIALS
from sentiment.section import HIDDEN, SEED_LIMIT, Section
from sentiment.tokenizer import KERAS

DatasetKind = Literal["imdb", "synthetic", "table"]
INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # as pandas writes integers of a column with gaps
NO_ADDED_TEXTS = "data/none.csv"  # an empty file: DVC does not accept an empty dependency
ADDED_TEXT_PARAMS = {
    "test_share",
    "split_seed",
    "text",
    "label",
    "positive",
    "max_characters",
}  # of table
CLAUSE_LENGTH = 5  # words of the longest synthetic opinion: "the plot was not good"


class SyntheticParams(Section):
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
    def _check_lengths(self) -> Self:
        words = CLAUSE_LENGTH * self.opinions
        if not words <= self.cue_distance < self.min_length <= self.max_length:
            raise ValueError(
                f"max_length {self.max_length} must be at least min_length {self.min_length}, "
                f"which must be greater than cue_distance {self.cue_distance}, which must be at "
                f"least {CLAUSE_LENGTH} times opinions {self.opinions}"
            )
        return self


def file_name(path_or_url: str) -> str:
    """Return the name of a file, given by its path or its URL, without the URL's query."""
    is_url = "://" in path_or_url
    return PurePosixPath(urlsplit(path_or_url).path if is_url else path_or_url).name


def normalize_label(value: Any) -> Any:
    """Return a finite number or a boolean as its JSON text, and any other value as it is.

    The texts of a CSV file are normalized likewise: 1, 1.0, `1` and `1.0` are the same label, and
    so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def reject_credentials(path_or_url: Any) -> Any:
    """Return a path or URL as it is, unless it may hold a secret.

    params.yaml and dvc.lock store paths and URLs as they are.

    Raises:
        PydanticCustomError: the URL has a password, a query or a fragment.
    """
    if isinstance(path_or_url, str) and CREDENTIALS.search(path_or_url):
        problem = "A password does not belong here, but in ~/.netrc or AWS's variables"
        raise PydanticCustomError(HIDDEN, problem)
    if isinstance(path_or_url, str) and re.search("://.*[?#]", path_or_url):
        problem = (
            "A URL with ? or # may hold a signature or a token, which dvc.lock would store. "
            "Leave that part out, or download the file and name it"
        )
        raise PydanticCustomError(HIDDEN, problem)
    return path_or_url


PathOrUrl = Annotated[str, BeforeValidator(reject_credentials)]


class TableParams(Section):
    train: PathOrUrl = Field(min_length=1)
    test: PathOrUrl = Field(min_length=1)
    test_share: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0, lt=SEED_LIMIT)
    text: str = Field(min_length=1)
    label: str = Field(min_length=1)
    positive: Annotated[str, BeforeValidator(normalize_label)] = Field(min_length=1)
    group: Annotated[str, Field(min_length=1)] | None
    tokenizer: Literal["keras", "unicode"]
    max_characters: int = Field(ge=1, le=1_000_000_000)


class FetchParams(Section):
    dataset: DatasetKind
    added_texts: PathOrUrl = Field(min_length=1)
    synthetic: SyntheticParams
    table: TableParams

    @property
    def name(self) -> str:
        """The dataset's name in MLflow, see `Dataset.name`."""
        return describe_dataset(self).name


class DatasetTable(Section):
    """What a dataset of one's own texts, or added texts, depend on. None: it does not matter.

    Attributes:
        train: name of the file, without its folder. `test` likewise.
        train_sha256: SHA-256 of the file. `test_sha256` likewise, if there is a file for the test.
    """

    train: str | None = None
    test: str | None = None
    test_share: float | None = None
    split_seed: int | None = None
    text: str | None = None
    label: str | None = None
    positive: str | None = None
    group: str | None = None
    tokenizer: str | None = None
    max_characters: int | None = None
    train_sha256: str | None = None
    test_sha256: str | None = None


class Dataset(Section):
    """What a dataset depends on: params and digests, but not where its files are.

    Attributes:
        added_texts: name of the file or folder of added texts.
        added_texts_sha256: SHA-256 of the added texts.
        own_sha256: SHA-256 of the reviews that texts were added to.
    """

    dataset: DatasetKind
    synthetic: SyntheticParams | None = None
    table: DatasetTable | None = None
    added_texts: str | None = None
    added_texts_sha256: str | None = None
    own_sha256: str | None = None

    @property
    def name(self) -> str:
        """The dataset's name in MLflow. Tables and added texts have the names of their files."""
        is_table = self.dataset == "table" and self.table is not None
        name = str(self.table.train) if is_table and self.table else self.dataset
        return f"{name}+{self.added_texts}" if self.added_texts is not None else name

    @property
    def tokenizer(self) -> str:
        """The name of the tokenizer, see `sentiment.tokenizer`."""
        return (self.table and self.table.tokenizer) or KERAS


def describe_dataset(
    params: FetchParams,
    *,
    train_sha256: str | None = None,
    test_sha256: str | None = None,
    added_texts_sha256: str | None = None,
    own_sha256: str | None = None,
) -> Dataset:
    """Return what the dataset of these params depends on.

    Args:
        params: the section `fetch`.
        train_sha256: SHA-256 of the file `table.train`. `test_sha256` likewise.
        added_texts_sha256: SHA-256 of the added texts.
        own_sha256: SHA-256 of the reviews that texts were added to.
    """
    is_table = params.dataset == "table"
    adds_texts = params.added_texts != NO_ADDED_TEXTS
    table = None
    if is_table:
        values = params.table.model_dump()
        names = {"train": file_name(params.table.train), "test": file_name(params.table.test)}
        digests = {"train_sha256": train_sha256, "test_sha256": test_sha256}
        table = DatasetTable(**values | names | digests)
    elif adds_texts:
        table = DatasetTable(**params.table.model_dump(include=ADDED_TEXT_PARAMS))
    return Dataset(
        dataset=params.dataset,
        synthetic=params.synthetic if params.dataset == "synthetic" else None,
        table=table,
        added_texts=file_name(params.added_texts) if adds_texts else None,
        added_texts_sha256=added_texts_sha256,
        own_sha256=own_sha256,
    )
