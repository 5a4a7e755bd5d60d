"""A stage ends with one message, on a signal too, and with its DVC."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.project import ROOT, run_code, until
from workflow.ending import explain
from workflow.signals import ENDING

pytestmark = pytest.mark.usefixtures("same_handlers")


def test_an_error_of_the_system_is_named_with_what_to_do() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/.pad.partial/x.npy")
    assert "x.npy: No space left on device. Free some space and run" in str(explain(full))
    cut = explain(OSError("1000 requested and 12 written"))  # as NumPy has it
    assert str(cut).startswith("No space left on device (1000 requested and 12 written). Free some")
    absent = explain(FileNotFoundError(2, "No such file", "typo.csv"), "`make predict`")
    assert absent == "typo.csv: No such file. Fix that and run `make predict` again."


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_a_stage_at_once_and_through_its_clean_up(number: signal.Signals) -> None:
    done = run_code(f"""
import os
from workflow import ending
def main():
    try:
        os.kill(os.getpid(), {int(number)})
        print("went on")
    finally:
        print("cleaned up")
ending.run_stage("pad", main)
""")
    assert done.stdout == "cleaned up\n"
    assert done.stderr == f"pad: interrupted by {number.name}\n"
    assert done.returncode == 128 + number


@pytest.mark.parametrize(("at_once", "expected"), [(60.0, "cleaned up\n"), (-1.0, "")])
def test_a_second_signal_ends_the_process_at_once_unless_it_comes_with_the_first(
    at_once: float, expected: str
) -> None:
    done = run_code(f"""
import os, signal
from workflow import ending, signals
signals.AT_ONCE_SECONDS = {at_once}
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        print("cleaned up", flush=True)
ending.run_stage("pad", main)
""")
    assert done.stdout == expected
    assert done.returncode == (143 if expected else -signal.SIGHUP)


def test_a_signal_that_is_ignored_stays_so() -> None:
    done = run_code("""
import os, signal
from workflow import ending
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
ending.run_stage("pad", lambda: os.kill(os.getpid(), signal.SIGHUP))
""")
    assert done.returncode == 0


STAGE = """
import os, sys, time
from pathlib import Path
from workflow import ending
def main():
    Path(sys.argv[1]).write_text(f"{os.getpid()}.")
    time.sleep(60)
    Path(sys.argv[1] + "-done").touch()
ending.run_stage("pad", main)
"""
PARENT = """
import subprocess, sys, time
from pathlib import Path
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
while not Path(sys.argv[2]).exists():
    time.sleep(0.05)
"""


def test_a_stage_ends_with_its_dvc(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    subprocess.run(
        [sys.executable, "-c", PARENT, STAGE, str(ran)],
        cwd=tmp_path,
        env={**os.environ, "DVC_STAGE": "pad", "PYTHONPATH": str(ROOT)},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: ran.exists() and ran.read_text().endswith("."))
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(ran.read_text().rstrip("."))).wait(timeout=60)
    assert not (tmp_path / "ran-done").exists()
