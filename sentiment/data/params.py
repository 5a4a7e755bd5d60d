"""The params of the dataset, and the params and digests that the dataset depends on."""

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
INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # pandas writes integers so if some are missing
NO_ADDED_TEXTS = "data/none.csv"  # an empty file: DVC does not accept an empty dependency
# The params of `fetch.table` that added texts depend on.
ADDED_TEXT_PARAMS = {
    "test_share",
    "split_seed",
    "text",
    "label",
    "positive",
    "max_characters",
}
CLAUSE_LENGTH = 5  # words of the longest synthetic opinion: "the plot was not good"


class SyntheticParams(Section):
    """The params of the generated reviews, see `sentiment.data.synthetic`."""

    seed: int = Field(
        ge=0,
        lt=SEED_LIMIT,
        description="Seed of the generator. The same seed gives the same reviews.",
    )
    train_reviews: int = Field(
        ge=100,
        le=1_000_000,
        description="Number of training reviews. With the default, the default model learns the "
        "rule in two or three epochs.",
    )
    test_reviews: int = Field(
        ge=100,
        le=1_000_000,
        description="Number of test reviews. With 4,000, an accuracy of 98% has a standard error "
        "of 0.2 points.",
    )
    vocab_size: int = Field(
        ge=200,
        le=88_000,
        description="Maximum number of distinct words. All but about seventy of them are names "
        "without a meaning.",
    )
    min_length: int = Field(ge=1, le=10_000, description="Words in the shortest review.")
    max_length: int = Field(
        ge=1,
        le=10_000,
        description="Words in the longest review. Keep it below `pad.max_length`, so that the cue "
        "is never truncated.",
    )
    opinions: int = Field(
        ge=1, le=100, description="Number of clauses in a review that praise or pan."
    )
    negated_share: float = Field(
        ge=0, le=0.5, description='Share of the opinions that are negated, as in "was not dull".'
    )
    cue_distance: int = Field(
        ge=1,
        le=10_000,
        description="Number of words after the cue, a word that says how all opinions of a review "
        "are meant. A model has to remember the cue over this distance.",
    )
    ironic_share: float = Field(
        ge=0, le=0.5, description="Share of the reviews with a cue that inverts all opinions."
    )
    label_noise: float = Field(
        ge=0,
        lt=0.5,
        description="Share of wrong labels. The best possible accuracy is 1 - `label_noise`.",
    )

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
    """The params of tables of labeled texts."""

    train: PathOrUrl = Field(
        min_length=1,
        description="Table with the training set: CSV, TSV, JSON lines or Parquet, by its "
        "extension. A path, or a URL that DVC and fsspec read, such as https:// or s3://. "
        "Passwords belong in `~/.netrc` or AWS's variables.",
    )
    test: PathOrUrl = Field(
        min_length=1,
        description="Table with the test set. If it is the same as `train`, a share of its "
        "rows becomes the test set.",
    )
    test_share: float = Field(
        gt=0,
        lt=1,
        description="Share of the rows that become the test set, equal for both labels. With "
        "groups, the nearest of 1/2, 1/3, 1/4 and so on. Also the share of the added texts.",
    )
    split_seed: int = Field(
        ge=0,
        lt=SEED_LIMIT,
        description="Seed of the split. Another seed selects other rows for the test set.",
    )
    text: str = Field(min_length=1, description="Column of the texts.")
    label: str = Field(min_length=1, description="Column of the labels, of which there are two.")
    positive: Annotated[str, BeforeValidator(normalize_label)] = Field(
        min_length=1, description="Positive label: a string, a number or a boolean."
    )
    group: Annotated[str, Field(min_length=1)] | None = Field(
        description="Column of groups, such as products or authors. All rows of a group are in "
        "the same split. Empty: none."
    )
    tokenizer: Literal["keras", "unicode"] = Field(
        description="Tokenizer of the texts. `keras`: as IMDB was tokenized, which lower-cases "
        "only ASCII letters. `unicode`: at the word boundaries of Unicode's annex 29, for "
        "languages with accents. Added texts are tokenized like the dataset."
    )
    max_characters: int = Field(
        ge=1,
        le=1_000_000_000,
        description="Characters of the longest text. A longer one is an error, because a quote "
        "that is never closed joins many texts.",
    )


class FetchParams(Section):
    """The section `fetch`."""

    dataset: DatasetKind = Field(
        description="`imdb`: the movie reviews of Maas et al. 2011, as Keras publishes them. They "
        "are downloaded if Keras' cache (`$KERAS_HOME/datasets`) does not have them. `synthetic`: "
        "generated reviews, for tests and for machines without IMDB. `table`: your own texts."
    )
    added_texts: PathOrUrl = Field(
        min_length=1,
        description="Table with labeled texts that are added to the dataset, or a folder of "
        "such tables. Each text stays in the training set or in the test set for good. Its "
        "columns, labels and `test_share` are set in `fetch.table`. The empty `data/none.csv` "
        "adds nothing.",
    )
    synthetic: SyntheticParams = Field(description="Read only with `dataset: synthetic`.")
    table: TableParams = Field(description="Read only with `dataset: table`, and for added texts.")

    @property
    def name(self) -> str:
        """The dataset's name in MLflow, see `Dataset.name`."""
        return describe_dataset(self).name


class DatasetTable(Section):
    """The params and digests of the tables of a dataset. None: the dataset does not depend on it.

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
    """The params and digests that a dataset depends on, but not the paths of its files.

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
        name: str = self.dataset
        if self.dataset == "table" and self.table is not None:
            name = str(self.table.train)
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
    """Return the params and digests that the dataset of these params depends on.

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
