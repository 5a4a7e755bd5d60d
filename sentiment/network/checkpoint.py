"""How far a training has got, so that one that was killed is resumed where it was.

Kept in `.checkpoints/<key>/` in the project's root: outside the outputs of `dvc.yaml`, which DVC
removes before it runs a stage. The key is made from everything that shapes the training, so that
a checkpoint of another one is never picked up. Each epoch has a folder of its own, with digests:
one that was cut short or changed is noticed, and the one before it used. The id of the training's
MLflow run lies beside them.

They stay until the evaluation begins, by when DVC has recorded the training's outputs: killed in
between, it runs the stage again, which then has nothing left to train.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sentiment.errors import RunningError, UserError
from workflow import files

if TYPE_CHECKING:
    import keras

FOLDER = ".checkpoints"
KEPT = 2  # epochs: the last one, and the one before in case the last is damaged
FORGOTTEN_DAYS = 14  # a killed training that nobody resumed within them frees its space
EPOCH = re.compile(r"epoch-\d{4,}")
METRICS = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")  # of an epoch
LOCK, HOLDER, RUN = "lock", "process", "run"  # held while it trains, by whom, for which MLflow run
PATIENCE_SECONDS = 5.0  # a stage whose DVC was ended takes a moment to end itself
MODEL, BEST, STATE = "model.npz", "best.npz", "state.json"
COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")  # what Keras' EarlyStopping counts


class Progress(NamedTuple):
    """How far a training is, beside the weights of the model and the state of its optimizer.

    Attributes:
        rows: `METRICS` of each epoch so far.
        counters: `COUNTERS` of early stopping; empty without it.
        best: weights of the best epoch so far as early stopping keeps them; empty without it.
    """

    rows: list[dict[str, float]]
    counters: dict[str, float]
    best: list[NDArray[Any]]


START = Progress([], {}, [])


def key(shaping: Mapping[str, Any]) -> str:
    """A name for a training, from everything that shapes it."""
    text = json.dumps(shaping, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def held(name: str) -> Iterator[Path]:
    """Yield the folder of a training's checkpoints, which no other process has meanwhile.

    Raises:
        RunningError: another process has it: the same training is running already.
    """
    folder = _all() / name
    holder, lock = folder / HOLDER, FileLock(folder / LOCK)
    with _guard():
        folder.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            number = holder.read_text(encoding="utf-8") if holder.exists() else "unknown"
            raise RunningError(
                f"This training is running already, in process {number}. Wait until it is done."
            ) from None
    try:
        holder.write_text(str(os.getpid()), encoding="utf-8")
        yield folder
    finally:
        lock.release()


def read_run(folder: Path) -> str | None:
    """The id of the training's MLflow run, if it has one yet."""
    file = folder / RUN
    return file.read_text(encoding="utf-8") if file.exists() else None


def write_run(folder: Path, run_id: str) -> None:
    """Keep the id of the training's MLflow run."""
    files.replace_text(folder / RUN, run_id)


def _all() -> Path:
    folder = files.root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _guard() -> FileLock:
    """Held for a moment: a training's lock is taken or removed by one process at a time."""
    return FileLock(_all() / LOCK)


def write(folder: Path, model: "keras.Model", progress: Progress) -> None:
    """Keep the state after an epoch, and drop those that are no longer needed."""
    epoch = len(progress.rows)
    with files.replaced(folder / f"epoch-{epoch:04}") as partial:
        np.savez(partial / MODEL, *(variable.numpy() for variable in _variables(model)))
        np.savez(partial / BEST, *progress.best)
        state = {"rows": progress.rows, "counters": progress.counters}
        files.write_json(partial / STATE, state)
        files.write_about(partial, {"epoch": epoch})
    for old in _epochs(folder)[KEPT:]:
        shutil.rmtree(old)


def read(epoch: Path, model: "keras.Model") -> Progress:
    """Put the model in the state that `write` kept, and return how far it is."""
    for variable, value in zip(_variables(model), _arrays(epoch / MODEL), strict=True):
        variable.assign(value)
    return Progress(**files.read_json(epoch / STATE), best=_arrays(epoch / BEST))


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    """All state of the model: weights, the generators of dropout, and the optimizer's."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _arrays(path: Path) -> list[NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in arrays.files]


def latest(folder: Path) -> Path | None:
    """The newest complete state, or None; a damaged one is reported and removed."""
    for epoch in _epochs(folder):
        try:
            for name in files.read_about(epoch)["files"]:
                files.checked(epoch / name)
        except UserError as error:
            print(f"A damaged checkpoint is skipped: {error}", flush=True)
            shutil.rmtree(epoch)
        else:
            return epoch
    return None


def _epochs(folder: Path) -> list[Path]:
    """The folders of all epochs, the newest first."""
    found = [path for path in folder.iterdir() if EPOCH.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("epoch-")), reverse=True)


def clear(name: str) -> None:
    """Remove a training's checkpoints, and those that nobody came back for; none that are held."""
    oldest = time.time() - FORGOTTEN_DAYS * 24 * 3600
    with _guard():
        for folder in [each for each in _all().iterdir() if each.is_dir()]:
            if folder.name == name or folder.stat().st_mtime < oldest:
                with suppress(Timeout), FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
