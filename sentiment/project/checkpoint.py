"""The state and the provenance of a training on this machine, in `.checkpoint/`.

`state.npz` is the state after the last epoch. It is there from before the first epoch until an
evaluation of the training is logged, and means that the training resumes.

`journal.json` has what the files in `data/` cannot have, because they are the same each time. It
stays, so that a run can be logged later.

Each training has a folder there, which is named by its key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from sentiment.errors import UserError, first_line
from sentiment.project import paths

if TYPE_CHECKING:
    from sentiment.model.training import State

CHECKPOINTS_FOLDER = ".checkpoint"
STATE_FILE = "state.npz"
JOURNAL_FILE = "journal.json"
LOCK_FILE = "lock"
WAIT_SECONDS = 30.0  # an evaluation takes seconds, and an interrupted training needs a moment


class AlreadyRunningError(UserError):
    """Another process is doing the same. The command works once that process has stopped."""


class Journal(BaseModel):
    """The provenance of a training.

    Attributes:
        training_id: identifies the training, however often it resumes.
        tags: where the training comes from, see `sentiment.project.provenance.provenance_tags`.
        model_digest: SHA-256 digest of the model. None: the training has not ended.
    """

    training_id: str = Field(default_factory=lambda: uuid4().hex)
    tags: dict[str, str] = {}
    diff: str = ""
    model_digest: str | None = None


class Checkpoint:
    """The checkpoint of one training, which this process alone uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_journal(self) -> Journal | None:
        """Return the journal, or None if there is none.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / JOURNAL_FILE
        if not path.exists():
            return None
        try:
            return Journal.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise _damaged_checkpoint_error(path, error) from None

    def write_journal(self, journal: Journal) -> None:
        """Write the journal in place of an earlier one."""
        with _replaced(self.folder / JOURNAL_FILE) as partial:
            partial.write_text(journal.model_dump_json(), encoding="utf-8")

    def read_state(self) -> "State | None":
        """Return the state after the last epoch, or None if no training is to be resumed.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
            raise _damaged_checkpoint_error(path, error) from None

    def write_state(self, state: "State") -> None:
        """Save the state after another epoch in place of the previous one."""
        with _replaced(self.folder / STATE_FILE) as partial, partial.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]

    def remove_state(self) -> None:
        """Remove the state, so that the training does not resume."""
        (self.folder / STATE_FILE).unlink(missing_ok=True)


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a path to write, which then takes the place of a file all at once."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    partial.replace(path)


def _damaged_checkpoint_error(path: Path, error: Exception) -> UserError:
    """Return the error for a file of a checkpoint that cannot be read."""
    return UserError(
        f"{path} is damaged ({first_line(error)}). Delete {path.parent}. The training then starts "
        "again."
    )


@contextmanager
def exclusive_checkpoint(training_key: str) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training. No other process can have it during the block.

    Args:
        training_key: see `sentiment.project.training_key`.

    Raises:
        AlreadyRunningError: another process has it.
    """
    folder = paths.root() / CHECKPOINTS_FOLDER / training_key
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise AlreadyRunningError(
            "This training is already running, in another process. Wait until it is done."
        ) from None
    try:
        yield Checkpoint(folder)
    finally:
        lock.release()
