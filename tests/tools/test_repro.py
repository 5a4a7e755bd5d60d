"""The commands behind `make`, but for what needs the whole pipeline."""

import subprocess

from tests.project import ROOT


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_alone_lists_every_target() -> None:
    output = make().stdout
    targets = "repro sync verify predict serve demo promote demote ui compare report seeds"
    for target in [*targets.split(), "test", "test-fast", "check", "docs", "bench", "faults"]:
        assert f"make {target} " in output


def test_python_that_is_not_there_is_one_line() -> None:
    done = make("venv", "PYTHON=/nowhere/python3.12")
    assert done.returncode != 0
    assert "there is no /nowhere/python3.12" in done.stderr
