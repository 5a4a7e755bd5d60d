"""The files in which `fetch` keeps reviews, an array a file."""

from dataclasses import fields
from pathlib import Path

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
