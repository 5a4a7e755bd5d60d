"""After a writing call that failed, or that a process ended at, `sync` makes all whole."""

import subprocess
import sys

import pytest

from tests.project import ROOT

pytestmark = pytest.mark.slow


def test_sync_makes_all_whole_after_a_fault_at_some_writing_calls() -> None:
    """Try each 120th call. `python -m tests.fault_loop` tries all of them."""
    command = (sys.executable, "-m", "tests.fault_loop", "--every", "120")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    tries = [(int(tried), int(whole)) for *_, tried, whole, _ in rows]
    assert all(tried == whole for tried, whole in tries)
    assert sum(tried for tried, _ in tries) > 0
