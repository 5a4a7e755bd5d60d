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


def test_user_error_becomes_one_message_and_a_non_zero_status() -> None:
    def main() -> None:
        raise UserError("params.yaml is wrong")

    with pytest.raises(SystemExit) as raised:
        run_stage("pad", main)
    assert raised.value.code == "pad: params.yaml is wrong"


def test_full_disk_says_to_free_space() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/.pad.partial/x.npy")
    message = explain(error)
    assert message is not None
    assert "No space left" in message
    assert "x.npy" in message
    assert "Free some space" in message


def test_unreadable_file_is_named() -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "params.yaml")
    message = explain(error)
    assert message is not None
    assert message.startswith("params.yaml: Permission denied")


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


@pytest.mark.parametrize(
    ("name", "advice"),
    [("data/pad/x_test.npy", "Run `dvc repro`"), ("typo.csv", "Fix that and run `make predict`")],
)
def test_what_the_pipeline_makes_is_told_from_what_a_user_names(name: str, advice: str) -> None:
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    message = explain(error, "`make predict`")
    assert message is not None
    assert advice in message


def test_what_a_library_says_of_a_file_system_is_told() -> None:
    assert explain(OSError("no space for 100 bytes"), "`make sync`") == (
        "no space for 100 bytes. Fix that and run `make sync` again."
    )


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


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage("pad", main)
