"""A training and its run: begun or resumed, kept after each epoch, and what is logged of it.

Checkpoints are kept in `.checkpoints/<key>/` in the project's root: outside the outputs of
`dvc.yaml`, which DVC removes before it runs a stage. The key is made from everything that shapes
the training, so that a checkpoint of another one is never picked up. Each epoch has a folder of its
own, with digests: one that was cut short or changed is noticed, and the one before it used. The
name of the lock beside them is their own: by it, as a tag, the training's run is found.

They stay until the evaluation begins, by when DVC has recorded the training's outputs: killed in
between, it runs the stage again, which then has nothing left to train.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sentiment.errors import AlreadyRunningError, UserError
from sentiment.gradients import as_metric
from sentiment.network.batches import Split
from sentiment.network.progress import NO_PROGRESS, OnEpoch, Progress, TrainingResult, history_frame
from workflow import files
from workflow.files import PAD, TRAIN
from workflow.runs import lifecycle
from workflow.runs.lifecycle import KEY
from workflow.runs.logger import RunLogger

if TYPE_CHECKING:
    import keras

    from sentiment.network.training import Training

FOLDER = ".checkpoints"
FORMAT = 1  # of checkpoints, part of their key: this module is no part of the code behind it
KEPT = 2  # epochs: the last one, and the one before in case the last is damaged
FORGOTTEN_DAYS = 14  # a killed training that nobody resumed within them frees its space
STATE = "state.npz"
LOCK, HOLDER = "lock", "process"  # held while it trains, and by whom
PATIENCE_SECONDS = 5.0  # a stage whose DVC was ended takes a moment to end itself
LOGGED = ["gradients.csv", "history.csv", "metrics.json"]
INITIAL_GRADIENT = "initial_gradient_norm"  # metric, whose steps are words before the last one


class TrainingRun(NamedTuple):
    """A training that this process alone does: its run, and the folder of its checkpoints."""

    log: RunLogger
    folder: Path


@contextmanager
def training_run(
    name: str, settings_used: Mapping[str, Any], tags: Mapping[str, str], with_model: bool = True
) -> Iterator[TrainingRun]:
    """Lock a training, find its run or begin one, and end that as the block ends.

    It is locked by its tag `KEY`; `settings_used` is everything that shapes it, by dotted names.
    Raises RunningError as `locked`, and UserError as `lifecycle.start_run`.
    """
    with locked(tags[KEY]) as lock:
        which = f"tags.`{KEY}` = '{tags[KEY]}' AND tags.`{lifecycle.LOCK}` LIKE '%/{lock.name}'"
        with lifecycle.start_run(
            name, settings_used, tags, lock, which, with_model=with_model
        ) as log:
            yield TrainingRun(log, lock.parent)


def resume(
    run: TrainingRun, training: "Training", after_epoch: OnEpoch = lambda _: None, show: bool = True
) -> TrainingResult:
    """Train from the newest checkpoint on, or from the beginning; keep and log each epoch.

    `after_epoch` is called with how far the training is once an epoch is kept and logged; `show`
    says whether to print how each epoch goes. A UserError is raised where the training diverges.
    """
    state = latest(run.folder)
    start = training.restore(state) if state else NO_PROGRESS
    if state:
        print(f"Resuming after epoch {len(start.epochs)} of run {run.log.run.run_id}", flush=True)
        # killed between a checkpoint and its metrics, the run would lack an epoch until the end
        run.log.history(history_frame(start.epochs))

    def on_epoch(progress: Progress) -> None:
        write(run.folder, len(progress.epochs), training.capture(progress))
        run.log.epoch(len(progress.epochs), progress.epochs[-1])
        after_epoch(progress)

    return training.fit(start, on_epoch, show)


@contextmanager
def locked(key: str) -> Iterator[Path]:
    """Yield the lock of a training's checkpoints; RunningError if another process has it."""
    folder = _all() / key
    holder = folder / HOLDER
    with _guard():
        folder.mkdir(exist_ok=True)
        lock = _lock(folder)
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            number = holder.read_text(encoding="utf-8") if holder.exists() else "unknown"
            raise AlreadyRunningError(
                f"This training is running already, in process {number}. Wait until it is done."
            ) from None
    try:
        holder.write_text(str(os.getpid()), encoding="utf-8")
        yield Path(lock.lock_file)
    finally:
        lock.release()


def _all() -> Path:
    folder = files.root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _guard() -> FileLock:
    """Held for a moment: a training's lock is taken or removed by one process at a time."""
    return FileLock(_all() / LOCK)


def _lock(folder: Path) -> FileLock:
    """The lock of a training's folder, under a name that no other folder's has."""
    return FileLock(next(folder.glob(f"{LOCK}-*"), folder / f"{LOCK}-{uuid4().hex}"))


def write(folder: Path, epoch: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep the state after an epoch, and drop those that are no longer needed."""
    with files.replaced(folder / f"epoch-{epoch:04}") as partial:
        np.savez(partial / STATE, **arrays)  # type: ignore[arg-type]
        files.write_about(partial, {"epoch": epoch})
    for old in _epochs(folder)[KEPT:]:
        shutil.rmtree(old)


def latest(folder: Path) -> dict[str, NDArray[Any]] | None:
    """The last state that `write` kept, or None; a damaged one is reported and removed."""
    for epoch in _epochs(folder):
        try:
            state = files.checked(epoch / STATE)
        except UserError as error:
            print(f"A damaged checkpoint is skipped: {error}", flush=True)
            shutil.rmtree(epoch)
            continue
        with np.load(state, allow_pickle=False) as arrays:
            return dict(arrays)
    return None


def _epochs(folder: Path) -> list[Path]:  # the newest first
    return sorted(folder.glob("epoch-*"), reverse=True)


def clear(key: str) -> None:
    """Remove a training's checkpoints, and those that nobody came back for; none that are held."""
    oldest = time.time() - FORGOTTEN_DAYS * 24 * 3600
    with _guard():
        for folder in [path for path in _all().iterdir() if path.is_dir()]:
            if folder.name == key or folder.stat().st_mtime < oldest:
                with suppress(Timeout), _lock(folder).acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def training_digests() -> dict[str, str]:
    """Tags with the digests of the arrays that are trained on."""
    digests = files.read_about(PAD)["files"]
    return {f"data.{name}.sha256": digests[f"{name}.npy"] for name in ("x_train", "y_train")}


def log_data(log: RunLogger, dataset: str, learning: Split, validation: Split) -> None:
    """Name both parts of the training data in the run."""
    cut, end = len(learning.x), len(learning.x) + len(validation.x)
    named = {"training": (learning, slice(0, cut)), "validation": (validation, slice(cut, end))}
    for context, (part, rows) in named.items():
        digest = files.short_digest(PAD, ["x_train", "y_train"], rows)
        log.dataset(f"{dataset}-{context}", context, part, PAD, digest)


def log_outputs(
    log: RunLogger, model: "keras.Model", history: pd.DataFrame, gradients: pd.DataFrame, diff: str
) -> None:
    """Log all of `data/train` to the active run; UserError if a file is not as it was written.

    `history` is that of `Trained`, `gradients` are those before the first epoch, and `diff` is what
    the code had of changes without a commit.
    """
    log.folder(TRAIN, TRAIN.name, LOGGED)
    log.history(history)
    norms = as_metric(gradients, INITIAL_GRADIENT)
    log.curves(norms, [log.begun] * len(norms))
    log.diff(diff)
    log.keras_model(model, len(history))
    log.tags({"model.sha256": files.read_about(TRAIN)["files"]["model.keras"]})
    log.complete(TRAIN.name, TRAIN)
