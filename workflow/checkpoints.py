"""Checkpoints of trainings, in `.checkpoints/<key>/` in the project's root.

The key depends on everything that the training depends on, so that a checkpoint of another training
is never restored. The checkpoint of a finished training stays for some days: if DVC was killed
before it recorded the outputs, or if the params are set back to earlier ones, the stage restores
the last epoch and has nothing left to train. (DVC's run cache does not serve outputs with
`persist`.)
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sentiment.errors import AlreadyRunningError
from workflow import files

FOLDER = ".checkpoints"
LOCKS = "locks"
FORMAT = 2  # part of every key: a checkpoint of another format is never restored
STATE_FILE = "state.npz"
START_FILE = "start.json"
PROCESS_FILE = "process"  # the id of the process that trains
STALE_AFTER_DAYS = 14  # after this, an unused checkpoint is removed
WAIT_SECONDS = 5.0  # a training that was just interrupted needs a moment to exit


class TrainingStart(NamedTuple):
    """The id and the start of a training. They stay the same however often it is resumed."""

    training_id: str
    time: int  # milliseconds since 1970


class Checkpoint:
    """The checkpoint of one training, which this process alone reads and writes.

    Attributes:
        start: the id and the time of the training's start.
        arrays: the arrays that were written after the last epoch; None before the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays = self._read_arrays()
        self.start = self._read_or_make_start()

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save the arrays of another epoch in place of the previous ones."""
        with files.atomic_file(self.folder / STATE_FILE) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _read_arrays(self) -> dict[str, NDArray[Any]] | None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (ValueError, EOFError, RuntimeError, BadZipFile) as error:
            print(f"{path} is damaged ({error}). The training starts again.", flush=True)
            # The training gets a new id, because its epochs are not those that were logged before.
            (self.folder / START_FILE).unlink(missing_ok=True)
            path.unlink()
            return None

    def _read_or_make_start(self) -> TrainingStart:
        path = self.folder / START_FILE
        if path.exists():
            return TrainingStart(**files.read_json(path))
        start = TrainingStart(uuid4().hex, time.time_ns() // 10**6)
        with files.atomic_file(path) as partial:
            files.write_json(partial, start._asdict())
        return start


@contextmanager
def exclusive_checkpoint(key: str) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training. No other process can have it during the block.

    Raises:
        AlreadyRunningError: another process trains this.
    """
    folder = files.root() / FOLDER / key
    process = folder / PROCESS_FILE
    lock = _lock(key)
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        number = process.read_text(encoding="utf-8") if process.exists() else "unknown"
        raise AlreadyRunningError(
            f"This training is running already, in process {number}. Wait until it is done."
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        process.write_text(str(os.getpid()), encoding="utf-8")
        yield Checkpoint(folder)
    finally:
        lock.release()


def remove_checkpoint(key: str) -> None:
    """Remove the checkpoint of a training, unless a process uses it."""
    with suppress(Timeout), _lock(key).acquire(timeout=0):
        shutil.rmtree(files.root() / FOLDER / key, ignore_errors=True)


def remove_stale_checkpoints() -> None:
    """Remove all checkpoints that were not used for `STALE_AFTER_DAYS`."""
    oldest = time.time() - STALE_AFTER_DAYS * 24 * 3600
    for process in (files.root() / FOLDER).glob(f"*/{PROCESS_FILE}"):
        with suppress(FileNotFoundError):  # another process may remove it at the same time
            if process.stat().st_mtime < oldest:
                remove_checkpoint(process.parent.name)


def _lock(key: str) -> FileLock:
    """Return the lock of a training. The system releases it when its process exits."""
    locks = files.root() / FOLDER / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / key)
