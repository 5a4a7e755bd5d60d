"""JSON files and tables are read back as they were written, and damage is one message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentiment.errors import UserError
from sentiment.project.files.documents import (
    count_formulas,
    guard_formulas,
    new_folder,
    read_json,
    read_table,
    write_json,
    write_table,
)


def test_a_table_is_read_back_with_all_bits_of_its_numbers(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    table = pd.DataFrame({"epoch": range(1000), "loss": rng.random(1000)})
    table.to_csv(tmp_path / "history.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "history.csv"), table, check_exact=True)


@pytest.mark.parametrize("read", [read_json, read_table])
def test_a_missing_file_says_which_command_makes_it(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(UserError, match=r"file is missing\. `dvc repro` makes it"):
        read(tmp_path / "file")


@pytest.mark.parametrize(
    ("read", "content"),
    [
        *((read_json, content) for content in (b"", b"no JSON", b"\xff", b"9" * 5000)),
        *((read_table, content) for content in (b"", b"\xff", b'epoch\n"1')),
    ],
)
def test_a_damaged_file_says_what_to_delete(
    tmp_path: Path, read: Callable[[Path], object], content: bytes
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"is damaged .*Delete {path} and run `dvc repro`"):
        read(path)


def test_json_has_no_number_that_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "metrics.json", {"loss": float("nan")})


def test_a_new_folder_has_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "old.json").touch()
    assert list(new_folder(tmp_path / "train").iterdir()) == []


def test_a_table_has_no_text_that_a_spreadsheet_takes_for_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.csv"
    write_table(path, pd.DataFrame({"review": [1, 2, 3], "text": ["=1+1", "a\rb", 'a "b"']}))
    assert pd.read_csv(path)["text"].tolist() == [" =1+1", "a\rb", 'a "b"']


NO_FORMULAS = (
    *("#123", "_id7", "/a/b", '"Quoted', "(x)", "😀", "-1", "+49 30 1234", "@ann", "-a-b"),
    *("--", "+x", "@", "-", "*", "%", "&a", "[1]", "{a}", "<b>", "|x", "!y", "'z", "~", "Ü1"),
    *("$5", "^", ".5", ":)", "日本", " a"),
)
FORMULAS = (
    "@ann hi!",
    "=1+1",
    "\tx",
    "\rx",
    "+SUM(A1)",
    "-2+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-(1)",
    "+a\n!b",
)


def test_an_id_that_is_no_formula_joins_with_its_table(tmp_path: Path) -> None:
    write_table(tmp_path / "predictions.csv", pd.DataFrame({"id": NO_FORMULAS}))
    assert pd.read_csv(tmp_path / "predictions.csv", dtype=str)["id"].tolist() == [*NO_FORMULAS]


@pytest.mark.parametrize(("texts", "changed"), [(NO_FORMULAS, 0), (FORMULAS, len(FORMULAS))])
def test_what_a_spreadsheet_computes_gets_a_space_and_is_counted(
    texts: tuple[str, ...], changed: int
) -> None:
    guarded = guard_formulas(texts)
    different = [after for before, after in zip(texts, guarded, strict=True) if before != after]
    assert len(different) == changed == count_formulas(texts)
    assert all(after.startswith(" ") for after in different)


def test_a_table_has_no_label_that_a_spreadsheet_takes_for_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write_table(path, pd.DataFrame({"label": ["=1+1", "good"], "f1": [0.5, -0.5]}))
    assert pd.read_csv(path).to_dict("list") == {"label": [" =1+1", "good"], "f1": [0.5, -0.5]}
