"""A training's checkpoint is written whole, restored only by that training, and removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import AlreadyRunningError
from tests.project import ROOT
from workflow import checkpoints
from workflow.checkpoints import (
    FOLDER,
    PROCESS_FILE,
    STATE_FILE,
    exclusive_checkpoint,
    remove_checkpoint,
    remove_stale_checkpoints,
)

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def write_epoch(epoch: int, key: str = "abc") -> None:
    with exclusive_checkpoint(key) as checkpoint:
        checkpoint.write({"epoch": np.array(epoch)})


def test_checkpoint_of_the_last_epoch_is_read_back() -> None:
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is None
    write_epoch(9)
    write_epoch(10)
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is not None
        assert checkpoint.arrays["epoch"] == 10


def test_training_keeps_its_id_and_time_however_often_it_is_resumed() -> None:
    with exclusive_checkpoint("abc") as first:
        pass
    with exclusive_checkpoint("abc") as resumed, exclusive_checkpoint("other") as other:
        assert resumed.start == first.start
        assert other.start.training_id != first.start.training_id


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", None])
def test_damaged_checkpoint_starts_a_new_training(
    content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Give it a new id, because its epochs are not those that were logged before."""
    write_epoch(2)
    path = Path(FOLDER, "abc", STATE_FILE)
    with exclusive_checkpoint("abc") as before:
        pass
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is None
        assert checkpoint.start.training_id != before.start.training_id
    assert f"{STATE_FILE} is damaged" in capsys.readouterr().out


def test_interrupted_write_leaves_the_previous_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    write_epoch(1)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_epoch(2)
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is not None
        assert checkpoint.arrays["epoch"] == 1


@pytest.mark.slow
def test_training_that_is_running_is_refused_and_its_process_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = """
import time
from workflow.checkpoints import exclusive_checkpoint
with exclusive_checkpoint("abc"):
    print("held", flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    monkeypatch.setattr(checkpoints, "WAIT_SECONDS", 0.1)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunningError, match=f"already, in process {process.pid}"):
            exclusive_checkpoint("abc").__enter__()
        process.kill()
        monkeypatch.setattr(checkpoints, "WAIT_SECONDS", 60)
        with exclusive_checkpoint("abc"):  # the system has released the lock
            pass


def test_checkpoint_that_cannot_be_read_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    write_epoch(1)

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        with pytest.raises(PermissionError):
            write_epoch(2)
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is not None


def keys() -> list[str]:
    return sorted(path.parent.name for path in Path(FOLDER).glob(f"*/{STATE_FILE}"))


def test_removed_checkpoint_is_gone_unless_it_is_in_use() -> None:
    write_epoch(1, "one")
    write_epoch(1, "two")
    with exclusive_checkpoint("two"):
        remove_checkpoint("one")
        remove_checkpoint("two")
    assert keys() == ["two"]


def test_stale_checkpoints_are_removed_unless_they_are_in_use() -> None:
    long_ago = time.time() - (checkpoints.STALE_AFTER_DAYS + 1) * 24 * 3600
    for key in ("stale", "recent", "running"):
        write_epoch(1, key)
    with exclusive_checkpoint("running"):
        for key in ("stale", "running"):
            os.utime(Path(FOLDER, key, PROCESS_FILE), (long_ago, long_ago))
        remove_stale_checkpoints()
    assert keys() == ["recent", "running"]
