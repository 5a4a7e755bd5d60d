"""After a writing call that failed, or that a process ended at, `sync` makes all whole."""

import subprocess
import sys

import pytest

from tests.project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


def test_sync_makes_all_whole_after_a_fault_at_some_writing_calls() -> None:
    """Try every 70th call of one scenario. `python -m tests.fault_loop` tries all of them."""
    command = (sys.executable, "-m", "tests.fault_loop", "--every", "70", "candidate")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [fault for _, fault, *_ in rows] == ["error", "exit"]
    for _, _, tried, whole, _ in rows:
        assert int(tried) == int(whole) > 1
