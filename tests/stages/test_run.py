"""A stage ends with one message, and a signal ends it at once."""

import os
import signal
import subprocess
import sys

import pytest

from sentiment.errors import UserError
from stages.run import run_stage
from tests.small_project import ROOT, default_signals

STAGE = """
import time
from stages.run import run_stage

def run():
    print("started", flush=True)
    time.sleep(600)

run_stage("pad", run)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_stage_at_once_with_one_message(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == "pad: interrupted. To continue, run the same command again.\n"


@pytest.fixture
def without_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signals of the tests' process alone."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.usefixtures("without_signals")
def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage("pad", run)


@pytest.mark.usefixtures("without_signals")
def test_a_failed_stage_says_its_name() -> None:
    def run() -> None:
        raise UserError("params.yaml is missing.")

    with pytest.raises(SystemExit) as raised:
        run_stage("pad", run)
    assert raised.value.code == "pad: params.yaml is missing."
