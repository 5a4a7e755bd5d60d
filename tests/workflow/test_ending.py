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

from sentiment.errors import UserError
from tests.project import ROOT, run_code, until
from workflow.ending import explain, run_stage
from workflow.signals import ENDING

pytestmark = pytest.mark.usefixtures("same_handlers")


@pytest.mark.parametrize(
    ("error", "message"),
    [(UserError("params.yaml is wrong"), "pad: params.yaml is wrong"), (ZeroDivisionError(), "")],
)
def test_a_user_s_error_becomes_one_message_and_a_bug_keeps_its_traceback(
    error: Exception, message: str
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit if message else ZeroDivisionError) as raised:
        run_stage("pad", main)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (errno.ENOSPC, "data/.pad.partial/x.npy", "x.npy: No space left on device. Free some spa"),
        (errno.EACCES, "params.yaml", "params.yaml: Permission denied. Give yourself the right"),
        (errno.ENOENT, "data/pad/x_test.npy", "No such file or directory. Run `dvc repro`"),
        (errno.ENOENT, "typo.csv", "typo.csv: No such file or directory. Fix that and run `make p"),
    ],
)
def test_an_error_of_the_system_is_named_with_what_to_do(
    number: int, name: str, message: str
) -> None:
    assert message in str(explain(OSError(number, os.strerror(number), name), "`make predict`"))


def test_what_a_library_says_of_a_file_system_is_told() -> None:
    assert explain(OSError("no space for 100 bytes"), "`make sync`") == (
        "no space for 100 bytes. Fix that and run `make sync` again."
    )


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


def test_a_signal_that_is_lost_keeps_dvc_from_the_next_stage() -> None:
    """Python forgets what is raised while it finalizes an object."""
    done = run_code("""
import os, signal
from workflow import ending
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        print("finalized")
def main():
    Finalized()
    print("went on")
ending.run_stage("pad", main)
""")
    assert done.stdout == "went on\n"
    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize(("pause", "expected"), [(0.0, "cleaned up\n"), (1.2, "")])
def test_a_second_signal_ends_the_process_at_once_unless_it_comes_with_the_first(
    pause: float, expected: str
) -> None:
    done = run_code(f"""
import os, signal, time
from workflow import ending
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        time.sleep({pause})
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
Path(sys.argv[1]).write_text(f"{os.getpid()}.")
def main():
    for _ in range(50):
        time.sleep(0.1)
    Path(sys.argv[1] + "-done").touch()
ending.run_stage("pad", main)
"""
PARENT = """
import os, subprocess, sys, time
from pathlib import Path
os.setpgrp()  # as a shell with job control starts DVC
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
while {wait} and not Path(sys.argv[2]).exists():
    time.sleep(0.05)
"""


@pytest.mark.parametrize("wait", [True, False])
def test_a_stage_ends_with_its_dvc(tmp_path: Path, wait: bool) -> None:
    """Also with one that was gone before the stage could look."""
    ran = tmp_path / "ran"
    late = "import time; time.sleep(1)\n" * (not wait)
    subprocess.run(
        [sys.executable, "-c", PARENT.format(wait=wait), late + STAGE, str(ran)],
        cwd=tmp_path,
        env={**os.environ, "DVC_STAGE": "pad", "PYTHONPATH": str(ROOT)},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: ran.exists() and ran.read_text().endswith("."))
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(ran.read_text().rstrip("."))).wait(timeout=60)
    assert not (tmp_path / "ran-done").exists()
