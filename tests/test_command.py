import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.command import UserError, explain, run, tool

from .project import ROOT, heed_signals


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    """`run` sets signal handlers and a hook; the tests' own process keeps those it had."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_user_error_becomes_one_message_and_a_non_zero_status() -> None:
    def main() -> None:
        raise UserError("params.yaml is wrong")

    with pytest.raises(SystemExit) as raised:
        run("pad", main)
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


def test_a_command_s_failure_names_it_and_how_to_go_on() -> None:
    def main() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "data/train/run.json")

    with pytest.raises(SystemExit) as raised:
        tool("make sync", main)
    assert raised.value.code == (
        "make sync: data/train/run.json: Permission denied. "
        "Give yourself the right to use it and run `make sync` again."
    )


@pytest.mark.parametrize(
    ("number", "status"), [("SIGTERM", 128 + signal.SIGTERM), ("SIGINT", 1), ("SIGHUP", 129)]
)
def test_a_signal_that_comes_while_something_is_finalized_ends_a_stage(
    number: str, status: int
) -> None:
    """Python drops what is raised there, as in SQLAlchemy's clean-up after each epoch."""
    code = f"""
import os, signal, time, stages.command
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.{number})
        time.sleep(0.01)
def main():
    try:
        for _ in range(3):
            Finalized()
        time.sleep(10)
        print("went on")
    finally:
        print("cleaned up")
stages.command.run("pad", main)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=heed_signals
    )
    assert done.stdout == "cleaned up\n"
    assert done.returncode == status
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(("patience", "done"), [(5, "done\n"), (0.2, "")])
def test_a_signal_waits_for_what_must_not_be_interrupted_but_not_long(
    number: str, patience: float, done: str
) -> None:
    code = f"""
import os, signal, time, stages.command as command
command.PATIENCE_SECONDS = {patience}
def main():
    try:
        with command.uninterrupted():
            os.kill(os.getpid(), signal.{number})
            time.sleep(1)
            print("done")
        print("went on")
    finally:
        time.sleep(0.3)
        print("cleaned up")
command.run("pad", main)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_signals,
    )
    assert ended.stdout == f"{done}cleaned up\n"
    assert ended.returncode == (1 if number == "SIGINT" else 128 + getattr(signal, number))


@pytest.mark.parametrize(
    ("name", "advice"),
    [("data/pad/x_test.npy", "Run `dvc repro`"), ("typo.csv", "Mend that and run `make predict`")],
)
def test_what_the_pipeline_makes_is_told_from_what_a_user_names(name: str, advice: str) -> None:
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    message = explain(error, "`make predict`")
    assert message is not None
    assert advice in message


def test_an_interrupted_command_is_one_message() -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as raised:
        tool("make compare", main)
    assert raised.value.code == "make compare: interrupted"


def test_a_command_ends_with_the_status_of_what_it_ran() -> None:
    with pytest.raises(SystemExit) as raised:
        tool("make repro", lambda: 3)
    assert raised.value.code == 3


def test_what_a_library_says_of_a_file_system_is_told() -> None:
    assert explain(OSError("no space for 100 bytes"), "`make sync`") == (
        "no space for 100 bytes. Mend that and run `make sync` again."
    )


def test_a_stage_whose_dvc_was_killed_before_it_could_note_that_ends(tmp_path: Path) -> None:
    code = """
import os, sys, time
from stages import command
if os.fork():
    os._exit(0)
time.sleep(0.5)  # by now the parent is gone
command.run("pad", lambda: (time.sleep(5), open(sys.argv[1], "w").close()))
"""
    ran = tmp_path / "ran"
    subprocess.run(
        [sys.executable, "-c", code, str(ran)],
        cwd=tmp_path,
        env={**os.environ, "DVC_STAGE": "pad", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=4,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(7)
    assert not ran.exists()


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run("pad", main)


def test_sigterm_ends_a_stage_through_its_clean_up() -> None:
    code = """
import os, signal, stages.command
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        print("cleaned up")
stages.command.run("pad", main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "cleaned up\n"
    assert done.returncode == 128 + signal.SIGTERM
