"""Files of the stages are read back as they were written, and damage is one message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TableParams
from sentiment.prediction.reviews import Reviews
from workflow import files
from workflow.files import FETCH_FOLDER, METRICS_FOLDER, PAD_FOLDER, FetchInputs, PadInputs

FETCHED = FetchInputs(
    fetch=FetchParams(dataset="synthetic", table=TableParams(positive="positive")),
    labels=["bad", "good"],
    test_set="0123",
)
PADDED = PadInputs(**dict(FETCHED), pad=PadParams(max_length=40))
ARRAY = PAD_FOLDER / "x_train.npy"
WORDS = FETCH_FOLDER / "word_index.json"
TABLE = METRICS_FOLDER / "table.csv"
# Files of a stage, and what `dvc add data/fetch` writes about them and their `inputs.json`
WRITTEN = {
    "data/fetch/z.csv": "1",
    "data/fetch/a/b.npy": "2",
    "data/fetch/a.json": "3",
    "metrics/fetch.json": "4",
}
DVC_HASH = "8d697cba77be9d8be1406ae094cf5250.dir"


def test_reviews_are_read_back(tmp_path: Path) -> None:
    reviews = Reviews.from_lists([[1, 2], [], [3]], np.array([1, 0, 1]))
    files.write_reviews(tmp_path, "train", reviews)
    read = files.read_reviews(tmp_path, "train")
    assert [review.tolist() for review in read] == [[1, 2], [], [3]]
    assert read.labels.tolist() == [1, 0, 1]


def write_fetch(words: dict[str, int]) -> None:
    """Write `data/fetch` as a stage does."""
    files.new_folder(FETCH_FOLDER)
    files.write_json(WORDS, words)
    files.write_inputs(FETCH_FOLDER, FETCHED)


@pytest.fixture
def stages(in_tmp_path: Path) -> Path:
    """Return a folder in which two stages have written an array, JSON and a table."""
    write_fetch({"good": 1})
    METRICS_FOLDER.mkdir()
    TABLE.write_text("epoch,loss\n1,0.5\n2,0.25\n", encoding="utf-8")
    files.new_folder(PAD_FOLDER)
    files.write_arrays(PAD_FOLDER, {"x_train": np.arange(20, dtype=np.uint16).reshape(4, 5)})
    files.write_inputs(PAD_FOLDER, PADDED, made_from=[FETCH_FOLDER], metrics=[TABLE])
    return in_tmp_path


@pytest.mark.usefixtures("stages")
def test_inputs_are_read_back_with_their_types() -> None:
    assert files.read_inputs(PAD_FOLDER, PadInputs) == PADDED


@pytest.mark.usefixtures("stages")
def test_inputs_of_another_stage_are_damage() -> None:
    with pytest.raises(UserError, match=r"data/fetch/inputs\.json is damaged"):
        files.read_inputs(FETCH_FOLDER, PadInputs)


@pytest.mark.usefixtures("stages")
def test_the_same_stage_writes_the_same_folder_again() -> None:
    before = files.md5(FETCH_FOLDER / files.INPUTS)
    write_fetch({"good": 1})
    assert files.md5(FETCH_FOLDER / files.INPUTS) == before
    files.check_folders(FETCH_FOLDER, PAD_FOLDER)


def flip(path: Path, position: int) -> None:
    """Change a bit of a byte."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("path", [ARRAY, WORDS, TABLE], ids=lambda path: path.name)
def test_a_changed_byte_is_noticed_wherever_it_is(path: Path) -> None:
    for position in range(path.stat().st_size):
        flip(path, position)
        with pytest.raises(UserError, match=rf"^{path} is not what the stage \w+ wrote"):
            files.check_folders(FETCH_FOLDER, PAD_FOLDER)
        flip(path, position)
    files.check_folders(FETCH_FOLDER, PAD_FOLDER)


@pytest.mark.usefixtures("stages")
def test_a_changed_byte_of_inputs_is_noticed_wherever_it_is() -> None:
    """Whatever the digests or the folders' names become, the problem is one message."""
    path = FETCH_FOLDER / files.INPUTS
    for position in range(path.stat().st_size):
        flip(path, position)
        with pytest.raises(UserError, match="dvc repro"):
            files.check_folders(FETCH_FOLDER, PAD_FOLDER)
        flip(path, position)


@pytest.mark.usefixtures("stages")
def test_a_changed_byte_of_the_last_folders_inputs_is_noticed_wherever_it_is() -> None:
    """No other folder has its digest."""
    path = PAD_FOLDER / files.INPUTS
    for position in range(path.stat().st_size - 1):  # the last byte ends the line
        flip(path, position)
        with pytest.raises(UserError, match="dvc repro"):
            files.check_folders(FETCH_FOLDER, PAD_FOLDER)
        flip(path, position)


@pytest.mark.usefixtures("stages")
def test_a_table_that_was_cut_in_half_is_named() -> None:
    content = TABLE.read_bytes()
    TABLE.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"^{TABLE} is not what .*Run `dvc repro`"):
        files.check_folders(PAD_FOLDER)


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize(
    "path", [ARRAY, WORDS, TABLE, PAD_FOLDER / files.INPUTS, FETCH_FOLDER / files.INPUTS], ids=str
)
def test_a_file_that_was_deleted_is_named(path: Path) -> None:
    path.unlink()
    with pytest.raises(UserError, match=rf"^{path} is missing\. `dvc repro` makes it"):
        files.check_folders(PAD_FOLDER, FETCH_FOLDER)


@pytest.mark.usefixtures("stages")
def test_a_folder_that_was_made_from_another_one_is_refused() -> None:
    """A dataset may be edited in place, so that its name and its params stay."""
    write_fetch({"other": 1})
    with pytest.raises(UserError, match=r"^data/pad was made from another data/fetch than the"):
        files.check_folders(FETCH_FOLDER, PAD_FOLDER)


@pytest.mark.usefixtures("in_tmp_path")
def test_the_hash_of_a_folder_is_the_one_in_dvc_lock() -> None:
    files.new_folder(FETCH_FOLDER)
    for name, content in WRITTEN.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    files.write_inputs(FETCH_FOLDER, FETCHED, metrics=[METRICS_FOLDER / "fetch.json"])
    assert files.dvc_hash(FETCH_FOLDER) == DVC_HASH


def test_a_missing_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x_train\.npy is missing. `dvc repro` makes it"):
        files.read_array(tmp_path / "x_train.npy")
    with pytest.raises(UserError, match=r"word_index\.json is missing"):
        files.read_json(tmp_path / "word_index.json")


@pytest.mark.parametrize("read", [files.read_array, files.read_json])
@pytest.mark.parametrize("content", [b"", b"no array", b"\xff", b"9" * 5000])
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
