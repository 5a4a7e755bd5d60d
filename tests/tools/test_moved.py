"""A command that has moved is answered with its new name."""

import subprocess
import sys

import pytest

from tests.project import ROOT
from tools import MOVED


@pytest.mark.parametrize("former", MOVED)
def test_a_command_that_moved_names_its_new_module(former: str) -> None:
    command = [sys.executable, "-m", former, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{former} has moved: python -m {MOVED[former]}\n"


def test_the_name_of_one_as_an_argument_is_no_command() -> None:
    command = [sys.executable, "-m", "tools.promote", "--help", "tools.demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
