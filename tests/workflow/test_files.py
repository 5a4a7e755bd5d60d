"""Files of the stages are read back as they were written, and damage is one message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TableParams
from sentiment.prediction.reviews import Reviews
from workflow import files
from workflow.files import FETCH_FOLDER, PAD_FOLDER, FetchInputs, PadInputs

FETCHED = FetchInputs(
    fetch=FetchParams(dataset="synthetic", table=TableParams(positive="positive")),
    labels=["bad", "good"],
    test_set="0123",
    content="4567",
)
PADDED = PadInputs(**dict(FETCHED), pad=PadParams(max_length=40))


def test_reviews_are_read_back(tmp_path: Path) -> None:
    reviews = Reviews.from_lists([[1, 2], [], [3]], np.array([1, 0, 1]))
    files.write_reviews(tmp_path, "train", reviews)
    read = files.read_reviews(tmp_path, "train")
    assert [review.tolist() for review in read] == [[1, 2], [], [3]]
    assert read.labels.tolist() == [1, 0, 1]


def test_a_table_is_read_back_with_all_bits_of_its_numbers(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    table = pd.DataFrame({"epoch": range(1000), "loss": rng.random(1000)})
    table.to_csv(tmp_path / "history.csv", index=False)
    pd.testing.assert_frame_equal(
        files.read_table(tmp_path / "history.csv"), table, check_exact=True
    )


@pytest.mark.usefixtures("in_tmp_path")
def test_inputs_are_read_back_with_their_types() -> None:
    files.write_inputs(files.new_folder(PAD_FOLDER), PADDED)
    assert files.read_inputs(PAD_FOLDER, PadInputs) == PADDED


@pytest.mark.usefixtures("in_tmp_path")
def test_inputs_of_another_stage_are_damage() -> None:
    files.write_inputs(files.new_folder(FETCH_FOLDER), FETCHED)
    with pytest.raises(UserError, match=r"data/fetch/inputs\.json is damaged"):
        files.read_inputs(FETCH_FOLDER, PadInputs)


@pytest.mark.parametrize("read", [files.read_array, files.read_json, files.read_table])
def test_a_missing_file_says_which_command_makes_it(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(UserError, match=r"file is missing\. `dvc repro` makes it"):
        read(tmp_path / "file")


@pytest.mark.parametrize(
    ("read", "content"),
    [
        *((files.read_array, content) for content in (b"", b"no array", b"\xff", b"9" * 5000)),
        *((files.read_json, content) for content in (b"", b"no JSON", b"\xff", b"9" * 5000)),
        *((files.read_table, content) for content in (b"", b"\xff", b'epoch\n"1')),
    ],
)
def test_a_damaged_file_says_what_to_delete(
    tmp_path: Path, read: Callable[[Path], object], content: bytes
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"is damaged .*Delete {tmp_path} and run `dvc repro`"):
        read(path)


def test_json_has_no_number_that_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(tmp_path / "metrics.json", {"loss": float("nan")})


def test_a_new_folder_has_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "old.json").touch()
    assert list(files.new_folder(tmp_path / "train").iterdir()) == []


def test_the_root_is_the_project_also_in_a_temporary_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert files.root() == tmp_path
