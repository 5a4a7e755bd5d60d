"""A training's checkpoint is written whole, restored only by that training, and removed."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
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


def cut_end(content: bytes) -> bytes:
    return content[:-30]


def set_encryption_flag(content: bytes) -> bytes:
    """Change the flags in the ZIP archive's directory, as a damaged byte may."""
    entry = content.index(b"PK\x01\x02")
    return content[: entry + 8] + b"\x01" + content[entry + 9 :]


@pytest.mark.parametrize(
    "damage", [cut_end, set_encryption_flag, lambda _: b"", lambda _: b"no archive"]
)
def test_damaged_checkpoint_starts_a_new_training(
    damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Give it a new id, because its epochs are not those that were logged before."""
    write_epoch(2)
    path = Path(FOLDER, "abc", STATE_FILE)
    with exclusive_checkpoint("abc") as before:
        pass
    path.write_bytes(damage(path.read_bytes()))
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is None
        assert checkpoint.start.training_id != before.start.training_id
    assert f"{STATE_FILE} is damaged" in capsys.readouterr().out
    with exclusive_checkpoint("abc") as again:
        assert again.start == checkpoint.start


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
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(AlreadyRunningError, match=f"already, in process {process.pid}"):
                exclusive_checkpoint("abc").__enter__()
        finally:
            process.kill()
        monkeypatch.setattr(checkpoints, "WAIT_SECONDS", 60)
        with exclusive_checkpoint("abc"):  # the system has released the lock
            pass


def test_training_that_is_about_to_end_is_waited_for() -> None:
    is_held = threading.Event()

    def end_soon() -> None:
        with exclusive_checkpoint("abc") as checkpoint:
            is_held.set()
            time.sleep(0.1)
            checkpoint.write({"epoch": np.array(1)})

    thread = threading.Thread(target=end_soon)
    thread.start()
    is_held.wait()
    with exclusive_checkpoint("abc") as checkpoint:
        assert checkpoint.arrays is not None
        assert checkpoint.arrays["epoch"] == 1
    thread.join()


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


def set_last_use(key: str, days: int) -> None:
    """Make a checkpoint look as if it was last used this number of days ago."""
    used = time.time() - days * 24 * 3600
    os.utime(Path(FOLDER, key, PROCESS_FILE), (used, used))


def test_stale_checkpoints_are_removed_unless_they_are_in_use() -> None:
    for key in ("stale", "recent", "running"):
        write_epoch(1, key)
    with exclusive_checkpoint("running"):
        set_last_use("stale", checkpoints.STALE_AFTER_DAYS + 1)
        set_last_use("running", checkpoints.STALE_AFTER_DAYS + 1)
        set_last_use("recent", checkpoints.STALE_AFTER_DAYS - 1)
        remove_stale_checkpoints()
    assert keys() == ["recent", "running"]


def test_checkpoint_that_is_used_again_is_not_stale() -> None:
    write_epoch(1)
    set_last_use("abc", checkpoints.STALE_AFTER_DAYS + 1)
    write_epoch(2)
    remove_stale_checkpoints()
    assert keys() == ["abc"]
