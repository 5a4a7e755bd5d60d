"""The state of a training after each epoch, and its run, in `.checkpoint/<key>/`.

The key is a digest of everything that the training depends on, bit for bit. A state therefore
always fits: other params, another machine and other packages have another key. A checkpoint exists
from the start of a training until DVC has recorded the training in dvc.lock, which happens after
the process of the stage has ended.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from sentiment.errors import UserError, first_line
from sentiment.params import TrainingParams
from sentiment.project.files.digests import file_digests, short_digest
from sentiment.project.files.documents import replacing
from sentiment.project.files.paths import Project
from sentiment.project.files.records import RunRecord, read_record, write_record
from sentiment.project.training.machine import machine_tags
from sentiment.project.versioning.dvc import read_model_stages, stage_dependencies

if TYPE_CHECKING:
    from sentiment.model.training import State

STATE_FILE = "state.npz"
RUN_FILE = "run.json"
WAIT_SECONDS = 10.0  # a training that was interrupted needs a moment to end


class Checkpoint:
    """The checkpoint of a training.

    Attributes:
        folder: the folder with its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_run(self) -> RunRecord | None:
        """Return the run of a training that was interrupted, or None if there was none.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / RUN_FILE
        return read_record(path, RunRecord) if path.exists() else None

    def write_run(self, record: RunRecord) -> None:
        """Note the run of the training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_record(self.folder / RUN_FILE, record)

    def read_state(self) -> "State | None":
        """Return the state after the last finished epoch, or None before the first one has ended.

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
            raise UserError(
                f"{path} is damaged ({first_line(error)}). Delete {self.folder}. The training then "
                "starts again."
            ) from None

    def write_state(self, state: "State") -> None:
        """Save the state after another epoch in place of the previous one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / STATE_FILE) as partial, partial.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]


def training_key(project: Project, params: TrainingParams) -> str:
    """Return a digest of everything that a training depends on, bit for bit.

    This is its section of params.yaml with its name, the seed, the arrays and the code that
    dvc.yaml lists for the stage `train`, the processor, the packages that compute, and their flags.

    Raises:
        UserError: dvc.yaml is missing or is not YAML.
    """
    listed = (project.folder / path for path in stage_dependencies(project)["train"])
    document = {
        "params": params.model_dump(include={"model", "seed", "section"}),
        "files": file_digests(listed, project.folder / ".dvcignore"),
        "machine": machine_tags(),
    }
    return short_digest(json.dumps(document, sort_keys=True))


@contextmanager
def exclusive_folder(project: Project) -> Iterator[None]:
    """Let no other training write into this working copy during the block.

    If `dvc` alone is killed, the training that it started continues.

    Raises:
        UserError: another training is running.
    """
    with hold_lock(project.folder / ".checkpoint" / "lock", "in this folder"):
        yield


@contextmanager
def exclusive_key(project: Project, key: str) -> Iterator[None]:
    """Let no other training use the checkpoint of a key during the block.

    Queued experiments with the same params train in several folders, but have the same key.

    Raises:
        UserError: another training is using it.
    """
    with hold_lock(project.checkpoints / f"{key}.lock", "with the same params, data and code"):
        yield


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at a path during the block. A file next to it names the process.

    Args:
        path: the lock's file, which stays. Its folder is made.
        what: which trainings exclude one another, for the message.

    Raises:
        UserError: another process holds the lock for longer than `WAIT_SECONDS`.
    """
    path.parent.mkdir(exist_ok=True)
    holder = path.with_suffix(".process")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        process = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UserError(
            f"A training {what} is running: {process}. Wait until it is done, or stop it, and run "
            "the same command again."
        ) from None
    try:
        holder.write_text(f"process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def remove_recorded_checkpoints(project: Project) -> None:
    """Remove the checkpoints of trainings that DVC has recorded in dvc.lock."""
    for run_file in project.checkpoints.glob(f"*/{RUN_FILE}"):
        if read_model_stages(project, run_file) is not None:
            shutil.rmtree(run_file.parent)
