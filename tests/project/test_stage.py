"""A stage ends with one message, and a signal cuts nothing short."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sentiment.project.signals import SIGNALS, Interrupted, SignalFlag

from sentiment.errors import UserError
from sentiment.project.stage import run_stage
from tests.small_project import ROOT, default_signals

STAGE = """
import sys, time
from pathlib import Path
from sentiment.project.stage import run_stage

def main(flag):
    print("started", flush=True)
    while flag.received is None:
        time.sleep(0.01)
    Path("received").touch()
    if "hang" in sys.argv:
        time.sleep(600)
    Path("finished").touch()

run_stage("pad", main)
"""


def start_stage(*arguments: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stage_finishes_after_a_signal_but_its_status_stops_the_pipeline(
    in_tmp_path: Path, number: signal.Signals
) -> None:
    process = start_stage()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1].startswith(f"pad: interrupted by {number.name}. ")
    assert "Traceback" not in errors
    assert (in_tmp_path / "finished").exists()


def test_a_signal_that_nohup_ignores_stays_ignored_after_another_one() -> None:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        flag = SignalFlag()
        flag.watch()
        signal.raise_signal(signal.SIGTERM)
        assert flag.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.slow
def test_a_second_signal_ends_a_stage_at_once(in_tmp_path: Path) -> None:
    process = start_stage("hang")
    process.send_signal(signal.SIGTERM)
    while not (in_tmp_path / "received").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert not (in_tmp_path / "finished").exists()


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignalFlag, "watch", lambda _: None)

    def main(_: SignalFlag) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage("pad", main)


def test_a_failed_stage_says_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignalFlag, "watch", lambda _: None)

    def main(_: SignalFlag) -> None:
        raise UserError("params.yaml is missing.")

    with pytest.raises(SystemExit) as raised:
        run_stage("pad", main)
    assert raised.value.code == "pad: params.yaml is missing."


@pytest.mark.slow
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_training_stops_if_the_process_that_started_it_has_exited(
    is_gone: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = SignalFlag(parent=os.getpid() if is_gone else os.getppid())
    after_batch = flag.callback().on_train_batch_end
    if not is_gone:
        after_batch(0)
        assert flag.received is None
        return
    with pytest.raises(Interrupted):
        after_batch(0)
    assert "has exited" in capsys.readouterr().err
