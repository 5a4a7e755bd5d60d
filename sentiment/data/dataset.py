"""Which reviews there are: IMDB's, generated ones, or texts of one's own."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sentiment.data.synthetic import Synthetic
from sentiment.data.table_options import Address, Table, file_name
from sentiment.section import Section, flatten
from sentiment.text import Reviews, fingerprints


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


def dataset_name(used: Mapping[str, Any]) -> str:
    """What the data set is called that these parameters shaped, by their dotted names."""
    dataset = str(used["fetch.dataset"])
    return str(used["fetch.table.train"]) if dataset == "table" else dataset


def tokenizer_of(used: Mapping[str, Any]) -> str:
    """How the texts of the data set that these parameters shaped were split into words."""
    return str(used.get("fetch.table.tokenizer", "keras"))
