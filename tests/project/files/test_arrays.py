"""Arrays of the stages are read back as they were written."""

from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.project.files.arrays import read_array, read_reviews, write_reviews
from sentiment.text.reviews import Reviews


def test_reviews_are_read_back(tmp_path: Path) -> None:
    reviews = Reviews.from_lists([[1, 2], [], [3]], np.array([1, 0, 1]))
    write_reviews(tmp_path, "train", reviews)
    read = read_reviews(tmp_path, "train")
    assert [review.tolist() for review in read] == [[1, 2], [], [3]]
    assert read.labels.tolist() == [1, 0, 1]


def test_a_missing_array_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.npy is missing\. `dvc repro` makes it"):
        read_array(tmp_path / "x.npy")


@pytest.mark.parametrize("content", [b"", b"no array", b"\xff", b"9" * 5000])
def test_a_damaged_array_says_what_to_delete(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"is damaged .*Delete {path} and run `dvc repro`"):
        read_array(path)
