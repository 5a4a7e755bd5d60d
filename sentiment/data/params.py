"""The settings of the data sets, and how many reviews they have."""

import json
import math
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sentiment.errors import CREDENTIALS
from sentiment.section import HIDDEN, SEED_LIMIT, Section, flatten
from sentiment.tokenizer import Reviews, review_hashes

INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # a number as pandas writes it
NO_ADDED_TEXTS = "data/none.csv"  # to add, where there is nothing: DVC takes no empty dependency
ADDED_TEXT_PARAMS = re.compile(
    r"fetch\.(add|table\.(test_share|split_seed|text|label|positive|longest))"
)
CLAUSE_LENGTH = 5  # words of the longest opinion of the generated set: "the plot was not good"


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
    def _lengths_fit(self) -> Self:
        words = CLAUSE_LENGTH * self.opinions
        if not words <= self.cue_distance < self.min_length <= self.max_length:
            raise ValueError(
                f"max_length {self.max_length} must be at least min_length {self.min_length}, that "
                f"greater than cue_distance {self.cue_distance}, and that at least {CLAUSE_LENGTH} "
                f"times opinions {self.opinions}"
            )
        return self


def file_name(address: str) -> str:
    """The name of a file, by its path or its address, whose query is left out."""
    return PurePosixPath(urlsplit(address).path if "://" in address else address).name


def normalize_label(value: Any) -> Any:
    """A finite number or a truth value as JSON has it, also where a CSV has it as text.

    So 1, 1.0, `1` and `1.0` are one label, and so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def reject_credentials(address: Any) -> Any:
    """An address, unless it may hold a secret: params.yaml and dvc.lock keep it as it is."""
    if isinstance(address, str) and CREDENTIALS.search(address):
        problem = "A password does not belong here, but in ~/.netrc or AWS's variables"
        raise PydanticCustomError(HIDDEN, problem)
    if isinstance(address, str) and re.search("://.*[?#]", address):
        problem = (
            "An address with ? or # may hold a signature or a token, which dvc.lock would keep. "
            "Leave that part out, or download the file and name it"
        )
        raise PydanticCustomError(HIDDEN, problem)
    return address


PathOrUrl = Annotated[str, BeforeValidator(reject_credentials)]


class TableParams(Section):
    train: PathOrUrl = Field(min_length=1)
    test: PathOrUrl = Field(min_length=1)
    test_share: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0, lt=SEED_LIMIT)
    text: str = Field(min_length=1)
    label: str = Field(min_length=1)
    positive: Annotated[str, BeforeValidator(normalize_label)] = Field(min_length=1)
    group: str | None
    tokenizer: Literal["keras", "unicode"]
    longest: int = Field(ge=1, le=1_000_000_000)


class FetchParams(Section):
    dataset: Literal["imdb", "synthetic", "table"]
    url: PathOrUrl = Field(pattern=r"^https?://[^\s@]+/$")
    archive_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    word_index_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    timeout: float = Field(gt=0, le=3600)
    retries: int = Field(ge=0, le=100)
    add: PathOrUrl = Field(min_length=1)
    synthetic: SyntheticParams
    table: TableParams

    @property
    def name(self) -> str:
        """What the data set is called in MLflow; tables by their files, or the folder of them."""
        own = file_name(self.table.train) if self.dataset == "table" else self.dataset
        return f"{own}+{file_name(self.add)}" if self.add != NO_ADDED_TEXTS else own


def summarize_dataset(train: Reviews, test: Reviews, left_out: int) -> dict[str, Any]:
    """What `summary.json` says of the reviews.

    Returns:
        `train` and `test`: of each the `reviews`, the `positive` ones, and those that are
        `repeated`, word for word another of the part; `test_in_training`: test reviews that occur
        in training; `left_out`: rows without a word, which are no reviews.
    """
    parts = {"train": train, "test": test}
    keys = {name: review_hashes(part) for name, part in parts.items()}
    counts = {
        name: {
            "reviews": len(part),
            "positive": int(part.labels.sum()),
            "repeated": len(part) - len(np.unique(keys[name])),
        }
        for name, part in parts.items()
    }
    in_training = int(np.isin(keys["test"], keys["train"]).sum())
    return {**counts, "test_in_training": in_training, "left_out": left_out}


def dataset_params(params: FetchParams) -> dict[str, Any]:
    """The parameters that the data depends on, by their dotted names.

    Where it was read from is not among them: the digest says what it is.
    """
    pinned = ("fetch.archive_", "fetch.word_")
    used = pinned if params.dataset == "imdb" else f"fetch.{params.dataset}."
    addresses = ("fetch.add", "fetch.table.train", "fetch.table.test")
    return {"fetch.dataset": params.dataset} | {
        name: file_name(value) if name in addresses else value
        for name, value in flatten(params, "fetch").items()
        if name.startswith(used)
        or (params.add != NO_ADDED_TEXTS and ADDED_TEXT_PARAMS.fullmatch(name))
    }
