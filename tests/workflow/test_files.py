"""Files of the stages are read back as they were written, and damage is one message."""

from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams
from sentiment.prediction.tokenizer import Reviews
from workflow import files
from workflow.files import FetchInputs, PadInputs


def test_reviews_are_read_back(tmp_path: Path) -> None:
    reviews = Reviews.from_lists([[1, 2], [], [3]], np.array([1, 0, 1]))
    files.write_reviews(tmp_path, "train", reviews)
    read = files.read_reviews(tmp_path, "train")
    assert [review.tolist() for review in read] == [[1, 2], [], [3]]
    assert read.labels.tolist() == [1, 0, 1]


def test_inputs_are_read_back_with_their_types(tmp_path: Path) -> None:
    inputs = PadInputs(fetch=FetchParams(dataset="synthetic"), pad=PadParams(max_length=40))
    files.write_inputs(tmp_path, inputs)
    assert files.read_inputs(tmp_path, PadInputs) == inputs


def test_inputs_of_another_stage_are_damage(tmp_path: Path) -> None:
    files.write_inputs(tmp_path, FetchInputs(fetch=FetchParams()))
    with pytest.raises(UserError, match=r"inputs\.json is damaged"):
        files.read_inputs(tmp_path, PadInputs)


def test_a_missing_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x_train\.npy is missing. `dvc repro` makes it"):
        files.read_array(tmp_path / "x_train.npy")
    with pytest.raises(UserError, match=r"word_index\.json is missing"):
        files.read_json(tmp_path / "word_index.json")


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_a_damaged_array_says_what_to_delete(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x_train.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"is damaged .*Delete {tmp_path} and run `dvc repro`"):
        files.read_array(tmp_path / "x_train.npy")


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
