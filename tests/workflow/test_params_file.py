"""Changes of a params file keep its comments."""

import difflib
import shutil
from pathlib import Path

import pytest

from sentiment.errors import UserError
from tests.project import DEFAULT_PARAMS
from workflow import params_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The params file that the project ships."""
    return Path(shutil.copy(DEFAULT_PARAMS, tmp_path / "params.yaml"))


def changed_lines(file: Path) -> list[str]:
    """The lines that are new in the file."""
    before, after = (path.read_text(encoding="utf-8") for path in (DEFAULT_PARAMS, file))
    compared = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line[2:] for line in compared if line.startswith("+ ")]


def test_only_the_values_change(file: Path) -> None:
    said = params_file.edit(file, {"train.units": 32, "train.dropout.head": 0.5})
    assert said == ["train.units: 64 -> 32", "train.dropout.head: 0.0 -> 0.5"]
    units, head = changed_lines(file)
    assert units.startswith("  units: 32              # size of the recurrent state, ")
    assert head.startswith("    head: 0.5            # ")
    written = file.stat().st_mtime_ns
    assert params_file.edit(file, {"train.units": 32}) == []
    assert file.stat().st_mtime_ns == written


def test_a_value_that_is_not_allowed_leaves_the_file_as_it_was(file: Path) -> None:
    with pytest.raises(UserError, match=r"train\.units: 0 is not allowed"):
        params_file.edit(file, {"train.learning_rate": 0.1, "train.units": 0})
    assert changed_lines(file) == []
