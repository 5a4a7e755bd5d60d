"""An optional command is deleted with its tests by one line, and the rest does not miss it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_project import ROOT

OPTIONAL = sorted(path.parent.name for path in ROOT.glob("sentiment/*/command.py"))


def deleting_command() -> str:
    """Return the command that CONTRIBUTING.md shows, for `score`."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if line.startswith("    rm "))
    return line.strip()


@pytest.mark.slow
@pytest.mark.skipif(not OPTIONAL, reason="there are no optional commands")
def test_optional_commands_are_deleted_by_the_line_that_contributing_shows(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    for name in OPTIONAL:
        command = deleting_command().replace("score", name)
        subprocess.run(command, cwd=tmp_path, shell=True, check=True)
        using = [
            path
            for path in tmp_path.rglob("*.py")
            if f"sentiment.{name}" in path.read_text(encoding="utf-8")
        ]
        assert using == []
    planned = subprocess.run(
        ["make", "--dry-run", "test"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert not re.findall(rf"tests/({'|'.join(OPTIONAL)})\b", planned.stdout)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow",
            "tests/test_docs.py",
            "tests/test_cli.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
