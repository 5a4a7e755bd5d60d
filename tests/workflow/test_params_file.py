"""Params are found by their names, and a params file changes only in its values."""

import difflib
import shutil
from pathlib import Path

import pytest

from sentiment.errors import UserError
from tests.project import DEFAULT_PARAMS
from workflow import params_file
from workflow.params import Params


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a copy of the default params file."""
    return Path(shutil.copy(DEFAULT_PARAMS, tmp_path / "params.yaml"))


def new_lines(file: Path) -> list[str]:
    """Return the lines that the shipped params file does not have."""
    before = DEFAULT_PARAMS.read_text(encoding="utf-8").splitlines()
    after = file.read_text(encoding="utf-8").splitlines()
    return [line[2:] for line in difflib.ndiff(before, after) if line.startswith("+ ")]


def test_fields_are_found_by_dotted_names() -> None:
    field = params_file.find_field("train.dropout.head")
    assert field is not None
    assert field.annotation is float
    for name in ("train", "train.dropout", "train.unit", "train.units.more", "unit", ""):
        assert params_file.find_field(name) is None


def test_params_of_two_sections_are_tunable() -> None:
    assert params_file.is_tunable("train.units")
    assert params_file.is_tunable("pad.max_length")
    for name in ("train", "train.unit", "evaluate.threshold", "1", ""):
        assert not params_file.is_tunable(name)


def test_with_changes_checks_values(default_params: Params) -> None:
    changed = params_file.with_changes(default_params, {"train.dropout.head": 0.5})
    assert changed.train.dropout.head == 0.5
    assert default_params.train.dropout.head == 0.0
    with pytest.raises(UserError, match=r"train\.units: 0 is not allowed"):
        params_file.with_changes(default_params, {"train.units": 0})


def test_only_the_values_change(file: Path) -> None:
    values = {"train.units": 32, "train.dropout.recurrent": 0.5}
    changes = params_file.update_params_file(file, values)
    assert changes == ["train.units: 64 -> 32", "train.dropout.recurrent: 0.0 -> 0.5"]
    units, recurrent = new_lines(file)
    assert units.startswith("  units: 32 ")
    assert recurrent.startswith("    recurrent: 0.5 ")
    before = DEFAULT_PARAMS.read_text(encoding="utf-8")
    for line in (units, recurrent):  # the comments are where they were
        assert line[line.index("#") :] in before


def test_same_values_leave_the_file_alone(file: Path) -> None:
    written = file.stat()
    assert params_file.update_params_file(file, {"train.units": 64}) == []
    assert file.stat().st_ino == written.st_ino
    assert file.stat().st_mtime_ns == written.st_mtime_ns


def test_value_that_is_not_allowed_leaves_the_file_alone(file: Path) -> None:
    with pytest.raises(UserError, match=r"train\.units: 0 is not allowed"):
        params_file.update_params_file(file, {"train.learning_rate": 0.1, "train.units": 0})
    with pytest.raises(UserError, match=r"train\.unit: unknown key"):
        params_file.update_params_file(file, {"train.unit": 1})
    assert file.read_bytes() == DEFAULT_PARAMS.read_bytes()


def test_file_that_is_not_valid_is_one_message(file: Path) -> None:
    file.write_text("train: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML"):
        params_file.update_params_file(file, {"train.units": 1})


def test_link_and_mode_stay(file: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    link = tmp_path / "project" / "params.yaml"
    link.symlink_to("../params.yaml")
    file.chmod(0o640)
    assert params_file.update_params_file(link, {"train.units": 32})
    assert link.is_symlink()
    assert len(new_lines(file)) == 1
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "params.yaml",
        "params.yaml",
        "project",
    ]


def test_line_ends_stay(file: Path) -> None:
    windows = file.read_bytes().replace(b"\n", b"\r\n")
    file.write_bytes(windows)
    assert params_file.update_params_file(file, {"train.units": 32})
    assert file.read_bytes() == windows.replace(b"  units: 64 ", b"  units: 32 ")
