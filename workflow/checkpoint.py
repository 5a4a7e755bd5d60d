"""The state of a training that is not wholly logged yet, in `.checkpoint/<key>/` in the root.

DVC restores finished trainings. A checkpoint serves those that were killed: the stage resumes after
the last finished epoch, in the same run. It is removed when the run is complete, see
`workflow.sync`.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from pathspec import GitIgnoreSpec

from sentiment.errors import AlreadyRunningError
from sentiment.network.model import implementation
from sentiment.params import TrainParams
from sentiment.prediction.backend import load_keras, usable_cores
from workflow import files
from workflow.params_file import read_yaml

if TYPE_CHECKING:
    from sentiment.network.training import State

FOLDER = ".checkpoint"
STATE_FILE = "state.npz"
RUN_INFO_FILE = "run.json"
STALE_AFTER_DAYS = 14
WAIT_SECONDS = 5.0  # a training that was just interrupted needs a moment to exit
PACKAGES = ("tensorflow", "keras", "numpy")  # whose versions may change the bits
CPU_INFO = Path("/proc/cpuinfo")


class Checkpoint:
    """The checkpoint of one training, which this process alone uses.

    Attributes:
        folder: its folder.
        state: the state after the last epoch. None before the first.
        training_id: identifies the training. It stays the same however often it resumes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = self._read_state()
        self.training_id = str(self.run_info.get("training_id", ""))
        if not self.training_id:
            self.renew_training_id()

    def renew_training_id(self) -> None:
        """Give the training another id, so that it has a run of its own."""
        self.training_id = uuid4().hex
        self.write_run_info(training_id=self.training_id)

    @property
    def run_info(self) -> dict[str, Any]:
        """See `read_run_info`."""
        return read_run_info(self.folder)

    def write_run_info(self, **changes: Any) -> None:
        """Add to `run_info`."""
        _replace(self.folder / RUN_INFO_FILE, json.dumps(self.run_info | changes).encode())

    def write_state(self, state: "State") -> None:
        """Save the state after another epoch in place of the previous one."""
        partial = self.folder / f"{STATE_FILE}.partial"
        with partial.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]
        partial.replace(self.folder / STATE_FILE)

    def _read_state(self) -> "State | None":
        path = self.folder / STATE_FILE
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, BadZipFile) as error:
            print(f"{path} is damaged ({error}). It is removed.", flush=True)
            # It gets a new id, because its epochs are not those that were logged before.
            path.unlink()
            (self.folder / RUN_INFO_FILE).unlink(missing_ok=True)
            return None


def read_run_info(folder: Path) -> dict[str, Any]:
    """Read the training's id, and the tags and the diff of its run, as far as they are known."""
    try:
        return dict(json.loads((folder / RUN_INFO_FILE).read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def training_key(params: TrainParams) -> str:
    """Return a digest of everything that the bits of a training depend on.

    These are the params, the files that dvc.yaml lists for the stage `train`, the versions of some
    packages, the processor, XLA's flags, and whether Keras' layer trains because of a GPU.
    """
    load_keras()  # which sets XLA's flags
    dependencies = read_yaml(Path("dvc.yaml"))["stages"]["train"]["deps"]
    document = {
        "params": params.model_dump(),
        "files": {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for dependency in dependencies
            for path in _files_of(Path(dependency))
        },
        "packages": {package: version(package) for package in PACKAGES},
        "processor": [processor_name(), usable_cores()],
        "implementation": [implementation(params), os.environ["XLA_FLAGS"]],
    }
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files_of(path: Path) -> list[Path]:
    """Return a file, or the files of a folder that .dvcignore does not leave out."""
    if path.is_file():
        return [path]
    ignored = GitIgnoreSpec.from_lines(Path(".dvcignore").read_text(encoding="utf-8").splitlines())
    found = (each for each in path.rglob("*") if not ignored.match_file(each))
    return sorted(each for each in found if each.is_file())


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        match = re.search(r"model name\s*:\s*(.+)", CPU_INFO.read_text(encoding="utf-8"))
    except OSError:  # not Linux
        match = None
    return match[1] if match else platform.machine()


@contextmanager
def exclusive_checkpoint(key: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training. No other process can have it during the block.

    Args:
        key: the key of the training.
        wait_seconds: how long to wait for another process that has it.

    Raises:
        AlreadyRunningError: another process has it.
    """
    folder = files.root() / FOLDER / key
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise AlreadyRunningError(
            "This training is running already, in another process. Wait until it is done."
        ) from None
    try:
        folder.mkdir(exist_ok=True)
        os.utime(folder)
        yield Checkpoint(folder)
    finally:
        lock.release()


def interrupted_trainings() -> Iterator[str]:
    """Yield the id of each training that has a checkpoint and that no process runs now."""
    for folder in (files.root() / FOLDER).glob("*/"):
        try:
            with FileLock(f"{folder}.lock", timeout=0):
                training_id = read_run_info(folder).get("training_id")
        except Timeout:
            continue
        if training_id:
            yield training_id


def remove_checkpoint(key: str) -> None:
    """Remove the checkpoint of a training, and those that were not used for some days."""
    oldest = time.time() - STALE_AFTER_DAYS * 24 * 3600
    for folder in (files.root() / FOLDER).glob("*/"):
        if folder.name == key or folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
