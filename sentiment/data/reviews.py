"""The files in which `fetch` keeps reviews, an array a file, and how often reviews repeat."""

import hashlib
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import files
from sentiment.serving.sequences import Reviews

FIELDS = [field.name for field in fields(Reviews)]
TEST_DATA = "data.test.sha256"  # tag or param: identity of the test part, however it is padded


def arrays(part: str) -> list[str]:
    """The names of the arrays that `fetch` writes of the `train` or `test` part."""
    return [f"{part}_{name}" for name in FIELDS]


def write_reviews(folder: Path, part: str, reviews: Reviews) -> None:
    """Write the `train` or `test` part into a folder, an array a file."""
    files.write_arrays(folder, {f"{part}_{name}": getattr(reviews, name) for name in FIELDS})


def read_reviews(folder: Path, part: str) -> Reviews:
    """Read what `write_reviews` wrote.

    Raises:
        UserError: a file is missing, or is not as it was written.
    """
    return Reviews(*files.read_arrays(folder, arrays(part)))


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


def fingerprints(reviews: Reviews) -> NDArray[np.uint64]:
    """A number for each review that others of the same words have too, shape (reviews,).

    Of 64 bits: among a million reviews, that two others share one has a chance of 3 in 10^8.
    """
    tokens, bounds = memoryview(reviews.tokens.data), pairwise(reviews.offsets.tolist())
    digests = (hashlib.blake2b(tokens[low:high], digest_size=8).digest() for low, high in bounds)
    return np.frombuffer(b"".join(digests), np.uint64)
