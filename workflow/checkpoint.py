"""What only the process that trains knows, in `.checkpoint/<key>/` in the root.

`state.npz` is the state after the last epoch, from which a killed training resumes.

A journal is what the files in `data/` cannot have, because they are the same each time: the id of
the run, where it comes from, and when its epochs ended. `training.json` is the journal of a
training that no evaluation has been made of. `<evaluation>.json` is the journal of the run that has
that evaluation. MLflow's runs are made from the files in `data/` and from these journals.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, Field

from sentiment.errors import AlreadyRunningError
from workflow import files

if TYPE_CHECKING:
    from sentiment.network.training import State

CHECKPOINTS_FOLDER = ".checkpoint"
STATE_FILE = "state.npz"
LOCK_FILE = "lock"
TRAINING_JOURNAL = "training"  # the journal of a training without an evaluation
STATE_ID = "training_id"  # in the state: the journal that it belongs to
STALE_AFTER_DAYS = 365
WAIT_SECONDS = 5.0  # a training that was just interrupted needs a moment to exit
DIGEST_LENGTH = len(hashlib.sha256().hexdigest())


def new_id() -> str:
    """Return an id that no other run has."""
    return uuid4().hex


class Journal(BaseModel):
    """What a run has, and no file in `data/`.

    Attributes:
        training_id: identifies the run, however often its training resumes.
        tags: where the training comes from, see `workflow.provenance.provenance_tags`.
        diff: the uncommitted changes.
        note: what the description of the run begins with.
        epochs: `sentiment.network.training.EPOCH_COLUMNS` of each epoch. None: the training has not
            ended. `seconds` is missing if nobody knows it.
    """

    training_id: str = Field(default_factory=new_id)
    tags: dict[str, str] = {}
    diff: str = ""
    note: str = ""
    epochs: list[dict[str, float]] | None = None


class Checkpoint:
    """The checkpoint of one training, which this process alone uses.

    Attributes:
        folder: its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_journal(self, name: str = TRAINING_JOURNAL) -> Journal | None:
        """Return a journal, or None if there is none."""
        content = _read_checked(self.folder / f"{name}.json")
        return None if content is None else Journal.model_validate_json(content)

    def write_journal(self, journal: Journal, name: str = TRAINING_JOURNAL) -> None:
        """Write a journal in place of an earlier one."""
        _write_checked(self.folder / f"{name}.json", journal.model_dump_json().encode())

    def claim_journal(self, evaluation: str) -> Journal | None:
        """Give the journal of a training that has ended to the first evaluation that is logged.

        Args:
            evaluation: see `tracking.publish.evaluation_digest`.

        Returns:
            The journal of the run that has the evaluation, or will have it.
        """
        training = self.read_journal()
        if training is not None and training.epochs is not None:
            earlier = self.read_journal(evaluation)
            if earlier is not None:  # of a forced training's run before, which may still be RUNNING
                self.write_journal(earlier, earlier.training_id)
            (self.folder / f"{TRAINING_JOURNAL}.json").replace(self.folder / f"{evaluation}.json")
        return self.read_journal(evaluation)

    def journals(self) -> list[Journal]:
        """Return the journals of all runs of the training, the newest first."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: -path.stat().st_mtime)
        found = (self.read_journal(path.stem) for path in paths)
        return [journal for journal in found if journal is not None]

    def read_training(self) -> "tuple[Journal | None, State | None]":
        """Return the journal of a training that resumes, and its state after the last epoch.

        Without a journal there is no state. If the state is damaged there is neither, because the
        epochs of another training must not be logged to the same run.
        """
        journal = self.read_journal()
        path = self.folder / STATE_FILE
        if journal is None or not path.exists():
            return journal, None
        content = _read_checked(path)
        if content is None:
            (self.folder / f"{TRAINING_JOURNAL}.json").unlink()
            return None, None
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            state = dict(arrays)
        is_own = state.pop(STATE_ID) == journal.training_id
        return journal, state if is_own else None

    def write_state(self, journal: Journal, state: "State") -> None:
        """Save the state after another epoch in place of the previous one."""
        content = BytesIO()
        np.savez(content, **state, **{STATE_ID: np.array(journal.training_id)})  # type: ignore[arg-type]
        _write_checked(self.folder / STATE_FILE, content.getvalue())

    def remove_ended_state(self) -> None:
        """Remove the state of a training that has ended. The state of one that resumes stays."""
        if self.read_journal() is None:
            (self.folder / STATE_FILE).unlink(missing_ok=True)


def _write_checked(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with the digest of its content in front."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(hashlib.sha256(content).hexdigest().encode() + content)
    partial.replace(path)


def _read_checked(path: Path) -> bytes | None:
    """Return the content of a file, or None if there is none. A damaged file is removed."""
    try:
        document = path.read_bytes()
    except FileNotFoundError:
        return None
    content = document[DIGEST_LENGTH:]
    if hashlib.sha256(content).hexdigest().encode() != document[:DIGEST_LENGTH]:
        path.unlink()
        print(f"{path} was damaged, and has been removed.", flush=True)
        return None
    return content


@contextmanager
def exclusive_checkpoint(key: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training. No other process can have it during the block.

    Args:
        key: the key of the training.
        wait_seconds: how long to wait for another process that has it.

    Raises:
        AlreadyRunningError: another process has it.
    """
    folder = files.root() / CHECKPOINTS_FOLDER / key
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise AlreadyRunningError(
            "This training is already running, in another process. Wait until it is done."
        ) from None
    try:
        os.utime(folder)
        yield Checkpoint(folder)
    finally:
        lock.release()


def unused_checkpoints() -> Iterator[Checkpoint]:
    """Yield each checkpoint that no process uses. None can use it until the next one is yielded."""
    for folder in (files.root() / CHECKPOINTS_FOLDER).glob("*/"):
        try:
            with FileLock(folder / LOCK_FILE).acquire(timeout=0):
                yield Checkpoint(folder)
        except Timeout:
            continue


def remove_stale_checkpoints() -> None:
    """Remove the checkpoints that were not used for `STALE_AFTER_DAYS`.

    Afterwards, nobody can end their runs or log them with their commit any more.
    """
    oldest = time.time() - STALE_AFTER_DAYS * 24 * 3600
    for checkpoint in unused_checkpoints():
        if checkpoint.folder.stat().st_mtime < oldest:
            shutil.rmtree(checkpoint.folder, ignore_errors=True)
