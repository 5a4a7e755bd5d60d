"""Values on make's command line reach the command verbatim, and make never expands them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

PRINT_ARGUMENTS_AND_VALUES = """
import json, os, sys
values = {name: value for name, value in os.environ.items() if name.startswith(("TEXT", "ANY_"))}
print(json.dumps({"arguments": sys.argv[1:], "values": values}))
"""
VALUES = (
    "$(shell touch pwned)the plot",
    "${shell touch pwned}",
    "$(eval pwned := $(shell touch pwned))",
    "$(error stopped)",
    "$(TEXT)",
    "It cost $5",
    "dull $(x",
    "dull ${x",
    "$",
    "$$$$",
    "$(",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "a \"quoted\" 'text'",
    "ends with a backslash\\",
    "ends with two \\\\",
    "\\$(shell touch pwned)",
    "back\\\nslash before a line feed",
    "two\nlines",
    "two\n\tlines, with a tab",
    "ends with a line feed\n",
    "endef",
    "define x\nendef",
    "a\nendef\n$(shell touch pwned)",
    "ifeq (a",
    "a # no comment",
    "brackets ) ( ] [ } {",
    "a = b := c ::= d ?= e += f != g",
    "commas, and: colons; and % * ?",
    "ends with blanks  ",
    "naïve café ☕",
    "-n --help",
    "",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the Makefile, and a `python` that prints its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "venv.py").touch()
    (tmp_path / "print.py").write_text(PRINT_ARGUMENTS_AND_VALUES, encoding="utf-8")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" print.py "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def run_make(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run make with these arguments in the tests' environment with these variables added."""
    return subprocess.run(
        ["make", "--silent", f"PYTHON={sys.executable}", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_values_on_the_command_line_reach_the_command_verbatim(project: Path) -> None:
    """Use `TEXT`, which the Makefile names, and variables that it does not name."""
    values = {f"ANY_{number}": value for number, value in enumerate(VALUES)}
    values["TEXT"] = "$(TEXT)"
    done = run_make(project, "predict", *(f"{name}={value}" for name, value in values.items()))
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"arguments": ["-m", "tools.predict"], "values": values}
    assert not (project / "pwned").exists()


def test_values_in_the_environment_reach_the_command_verbatim(project: Path) -> None:
    values = {f"ANY_{number}": value for number, value in enumerate(VALUES)}
    done = run_make(project, "predict", **values)
    assert json.loads(done.stdout)["values"] == values
    assert not (project / "pwned").exists()


def test_command_line_wins_over_the_environment(project: Path) -> None:
    done = run_make(project, "predict", "TEXT=$1", TEXT="$2")
    assert json.loads(done.stdout)["values"] == {"TEXT": "$1"}


@pytest.mark.parametrize("value", ["$(shell touch pwned)", "$$(touch pwned)", "`touch pwned`"])
@pytest.mark.parametrize("name", ["PYTHON", "PART"])
def test_variables_that_the_makefile_itself_reads_run_nothing(
    project: Path, name: str, value: str
) -> None:
    run_make(project, "test", f"{name}={value}")
    assert not (project / "pwned").exists()


def test_part_of_the_tests_is_one_folder(project: Path) -> None:
    assert (
        "tests/extras/sweep"
        in json.loads(run_make(project, "test", "PART=sweep").stdout)["arguments"]
    )
    arguments = json.loads(run_make(project, "test").stdout)["arguments"]
    assert arguments[-1] == "loadfile"


def test_lock_without_uv_is_one_line(project: Path) -> None:
    done = run_make(project, "lock")
    assert done.returncode
    assert done.stderr.splitlines()[0] == (
        "make: .venv has no uv. Remove .venv and run make lock again."
    )
