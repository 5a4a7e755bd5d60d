"""`python -m stages` runs a stage, and handles signals while its modules are imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_project import ROOT, default_signals

pytestmark = pytest.mark.slow
INTERRUPT_IMPORT = """
import os, runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "stages.train":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["train"]
runpy.run_module("stages", run_name="__main__", alter_sys=True)
"""


def run_python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=default_signals,
    )


def test_a_signal_during_imports_ends_the_stage_with_one_message(tmp_path: Path) -> None:
    done = run_python(tmp_path, "-c", INTERRUPT_IMPORT)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "train: interrupted. To continue, run the same command again.\n"


def test_a_python_without_the_packages_is_one_line_that_names_the_environment() -> None:
    done = run_python(ROOT, "-S", "-m", "stages", "train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "source .venv/bin/activate" in line
    assert "`dvc repro`, which restores the outputs" in line


def test_a_stage_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = run_python(tmp_path, "-m", "stages", "tain")
    assert done.returncode == 1
    assert done.stderr == "Usage: python -m stages fetch|pad|train|evaluate [MODEL]\n"
