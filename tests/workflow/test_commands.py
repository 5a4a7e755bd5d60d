"""DVC is waited for after a signal, and the status says which signal came."""

import signal
from pathlib import Path

import pytest

from tests.project import Project
from workflow.commands import SITE_CACHE, dvc_environment, run_dvc

# Sends a signal to what started DVC, and then takes a moment to end.
STAGE = """
import os, pathlib, psutil, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: None)
os.kill(psutil.Process(os.getppid()).ppid(), getattr(signal, sys.argv[1]))
time.sleep(1)
pathlib.Path("ended").touch()
sys.exit(1)
"""


def test_dvc_has_a_site_cache_that_no_other_account_can_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SITE_CACHE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "dvc-site").mkdir(mode=0o777)
    assert dvc_environment()[SITE_CACHE] == str(tmp_path / "dvc-site")
    assert (tmp_path / "dvc-site").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv(SITE_CACHE, "/elsewhere")
    assert dvc_environment()[SITE_CACHE] == "/elsewhere"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_stage_has_ended(
    in_tmp_path: Path, number: signal.Signals
) -> None:
    Project(in_tmp_path).run("dvc", "init", "--no-scm")
    (in_tmp_path / "stage.py").write_text(STAGE, encoding="utf-8")
    command = f"exec python stage.py {number.name}"
    (in_tmp_path / "dvc.yaml").write_text(f"stages: {{one: {{cmd: {command}}}}}", encoding="utf-8")
    handler = signal.signal(number, signal.default_int_handler)  # a shell may ignore SIGINT
    try:
        assert run_dvc("repro") == 128 + number
    finally:
        signal.signal(number, handler)
    assert (in_tmp_path / "ended").exists()
