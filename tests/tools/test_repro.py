"""The commands behind `make`, but for what needs the whole pipeline."""

import os
import subprocess
from pathlib import Path

from tests.project import DEFAULT_PARAMS, ROOT
from tools import repro


def make(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target() -> None:
    output = make().stdout
    for target in (
        "repro",
        "sync",
        "verify",
        "compare",
        "seeds",
        "report",
        "test",
        "test-fast",
        "check",
        "ui",
        "predict",
        "serve",
        "demo",
        "promote",
        "demote",
        "docs",
        "bench",
        "faults",
        "venv",
        "lock",
    ):
        assert f"make {target} " in output


def test_python_that_is_not_there_is_one_line() -> None:
    done = make("venv", "PYTHON=/nowhere/python3.12")
    assert done.returncode != 0
    assert "there is no /nowhere/python3.12" in done.stderr


def test_setting_the_data_set_changes_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = DEFAULT_PARAMS.read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    repro.set_dataset(path, "synthetic")
    after = path.read_text(encoding="utf-8").splitlines()
    changed = [
        (old, new) for old, new in zip(before.splitlines(), after, strict=True) if old != new
    ]
    assert len(changed) == 1
    assert changed[0][1].strip().startswith("dataset: synthetic ")
