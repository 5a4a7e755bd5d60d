"""Stage 3: train the model, watched by MLflow.

Writes `data/train/`: `model.keras`, `history.csv` (a row an epoch), `metrics.json` (the epoch
whose weights are kept), `run.json` (which MLflow run this is) and, where the working tree has
changes without a commit, `uncommitted.diff`.

A training that was killed goes on from the end of its last epoch, see `stages.checkpoint`.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages import checkpoint, command, files, machine, tracking
from stages.backend import load_keras
from stages.batches import batches
from stages.checkpoint import COUNTERS, START, Progress
from stages.command import UserError
from stages.model import build_model, save_model
from stages.params import Train, flatten, load_params

if TYPE_CHECKING:
    import keras

FOLDER = files.DATA / "train"
PAD = files.DATA / "pad"
LOGGED = ["history.csv", "metrics.json", "uncommitted.diff"]
FIGURES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")


class Part(NamedTuple):
    """Reviews to learn from or to validate on.

    Attributes:
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,), 1 = positive.
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]


OnEpoch = Callable[[Progress], None]


class Trained(NamedTuple):
    """How a training went.

    Attributes:
        history: columns `epoch`, from 1, and `FIGURES`; a row an epoch.
        kept_epoch: the epoch whose weights the model holds: the best one with early stopping,
            else the last.
    """

    history: pd.DataFrame
    kept_epoch: int


def split(x: NDArray[Any], y: NDArray[np.uint8], validation_split: float) -> tuple[Part, Part]:
    """Set the last share aside for validation, cut where Keras' `validation_split` cuts.

    Raises:
        UserError: one of the two parts would be empty.
    """
    at = math.floor(len(x) * (1 - validation_split))
    if not 0 < at < len(x):
        raise UserError(
            f"train.validation_split: {validation_split} of {len(x)} reviews leaves "
            "nothing to train on or nothing to validate with."
        )
    return Part(x[:at], y[:at]), Part(x[at:], y[at:])


def prepare(params: Train) -> None:
    """Seed Python, NumPy and TensorFlow, and make operations deterministic if wanted."""
    load_keras().utils.set_random_seed(params.seed)
    if params.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def accelerate(model: "keras.Model", params: Train) -> str:
    """Put the model on the fast path if its params have one; say which path it is on."""
    from stages import fast

    obstacle = fast.obstacle(params)
    if obstacle:
        return f"stock Keras: {obstacle}"
    fast.accelerate(model)
    return "fast LSTM"


def fit(
    model: "keras.Model",
    learning: Part,
    validation: Part,
    params: Train,
    on_epoch: OnEpoch,
    progress: Progress,
) -> Trained:
    """Train the model in place from `progress` on and call `on_epoch` as each epoch ends.

    Raises:
        UserError: a figure of an epoch is not finite: the training diverged.
    """
    rows = list(progress.rows)
    stopping = _early_stopping(params, progress)
    stopped = bool(progress.counters.get("stopped_epoch"))
    model.fit(
        batches(*learning, batch_size=params.batch_size, shuffle=True),
        validation_data=batches(
            *validation, batch_size=params.validation_batch_size, shuffle=False
        ),
        initial_epoch=len(rows),
        epochs=len(rows) if stopped else params.epochs,
        shuffle=False,  # the batches are shuffled already
        callbacks=[*stopping, _recorder(rows, stopping, on_epoch)],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    return Trained(history_of(rows), stopping[0].best_epoch + 1 if stopping else len(rows))


def history_of(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The table of `Trained.history` from the figures of each epoch."""
    history = pd.DataFrame(rows, columns=list(FIGURES))
    history.insert(0, "epoch", range(1, len(rows) + 1))
    return history


def _recorder(
    rows: list[dict[str, float]],
    stopping: "list[keras.callbacks.EarlyStopping]",
    on_epoch: OnEpoch,
) -> "keras.callbacks.Callback":
    """A callback that adds each epoch's figures to `rows` and tells how far the training is."""
    import keras

    begun: list[float] = []

    def begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    def end(epoch: int, logs: dict[str, float]) -> None:
        figures = {**logs, "seconds": time.perf_counter() - begun[-1]}
        rows.append({name: float(figures[name]) for name in FIGURES})
        if not all(map(math.isfinite, rows[-1].values())):
            loss = rows[-1]["loss"]
            raise UserError(f"Epoch {epoch + 1} diverged, loss {loss}: lower train.learning_rate.")
        on_epoch(Progress(list(rows), *_state_of(stopping)))

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _state_of(
    stopping: "list[keras.callbacks.EarlyStopping]",
) -> tuple[dict[str, float], list[NDArray[Any]]]:
    if not stopping:
        return {}, []
    return {name: getattr(stopping[0], name) for name in COUNTERS}, stopping[0].best_weights


def _early_stopping(params: Train, progress: Progress) -> "list[keras.callbacks.EarlyStopping]":
    """Keras' callback, if it is wanted, with its state as it was where the training goes on."""
    import keras

    class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            if progress.counters:
                self.__dict__.update(progress.counters, best_weights=progress.best)

    wanted = params.early_stopping
    stopping = EarlyStopping(
        monitor=wanted.monitor,
        mode="min" if wanted.monitor == "val_loss" else "max",
        min_delta=wanted.min_delta,
        patience=wanted.patience,
        restore_best_weights=True,
    )
    return [stopping] if wanted.patience else []


def summarize(trained: Trained) -> dict[str, float]:
    """The kept epoch's figures, its number and the number of epochs trained."""
    kept = trained.history["epoch"] == trained.kept_epoch
    row = trained.history[kept].iloc[0]
    figures = {name: float(row[name]) for name in FIGURES if name != "seconds"}
    return {**figures, "kept_epoch": trained.kept_epoch, "epochs": len(trained.history)}


def run_name(params: Train, shaping: dict[str, Any], experiment: str | None) -> str:
    """A run's name in the table: model, length, seed, and what is out of the ordinary."""
    parts = [f"{'bi-' if params.bidirectional else ''}{params.cell}-{params.units}"]
    if params.pooling != "last":
        parts.append(params.pooling)
    parts += [f"len {shaping['pad.max_length']}", f"seed {params.seed}"]
    if shaping["fetch.dataset"] != "imdb":
        parts.append(shaping["fetch.dataset"])
    return " · ".join([*parts, experiment] if experiment else parts)


def write(
    folder: Path, model: "keras.Model", trained: Trained, identity: Mapping[str, Any], diff: str
) -> None:
    """Write the model, the history, the metrics and the run's identity into an empty folder."""
    save_model(model, folder / "model.keras")
    trained.history.to_csv(folder / "history.csv", index=False)
    files.write_json(folder / "metrics.json", summarize(trained))
    files.write_json(folder / "run.json", dict(identity))
    if diff:
        (folder / "uncommitted.diff").write_text(f"{diff}\n", encoding="utf-8")


class Job(NamedTuple):
    """A training to be done, or to go on with.

    Attributes:
        params: the `train` section.
        shaping: everything that shapes it, by dotted `params.yaml` names.
        learning: what is trained on.
        validation: what is validated on.
    """

    params: Train
    shaping: dict[str, Any]
    learning: Part
    validation: Part

    def key(self) -> str:
        """The name of its checkpoints: its params, data, code, packages and processor."""
        code = {path.name: files.sha256(path) for path in Path(__file__).parent.glob("*.py")}
        parts = {"data": data_tags(), "code": code, "machine": machine.describe()}
        return checkpoint.key({"params": self.shaping, **parts})


def data_tags() -> dict[str, str]:
    """Digests of the arrays that are trained on."""
    digests = files.read_about(PAD)["files"]
    return {f"data.{name}.sha256": digests[f"{name}.npy"] for name in ("x_train", "y_train")}


def read_job() -> Job:
    """Read params and data of the training."""
    params = load_params().train
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    shaping = files.read_about(PAD)["params"] | flatten(params, "train")
    return Job(params, shaping, *split(x, y, params.validation_split))


def make_model(job: Job) -> tuple["keras.Model", str]:
    """The model before its first step, and by which path it will be trained."""
    prepare(job.params)
    model = build_model(job.params, job.shaping["pad.num_words"], job.learning.x.shape[1])
    return model, accelerate(model, job.params)


def go_on(
    job: Job, model: "keras.Model", kept: Path, newest: Path | None, tracker: tracking.Tracker
) -> Trained:
    """Train the model from `newest` of the checkpoints in `kept` on, or from the beginning."""
    begun = checkpoint.read(newest, model) if newest else START
    if newest:
        print(f"Going on after epoch {len(begun.rows)} of run {tracker.run.run_id}", flush=True)
        if len(begun.rows) >= job.params.epochs:
            print(f"Nothing is left to train: all is in {kept}", flush=True)

    def on_epoch(progress: Progress) -> None:
        checkpoint.write(kept, model, progress)
        tracker.log(tracking.log_epoch, len(progress.rows), progress.rows[-1])

    return fit(model, job.learning, job.validation, job.params, on_epoch, begun)


def log_data(tracker: tracking.Tracker, dataset: str, learning: Part, validation: Part) -> None:
    """Name both parts of the training data in the run."""
    cut, end = len(learning.x), len(learning.x) + len(validation.x)
    named = {"training": (learning, slice(0, cut)), "validation": (validation, slice(cut, end))}
    for context, (part, rows) in named.items():
        digest = files.short_digest(PAD, ["x_train", "y_train"], rows)
        tracker.log(tracking.log_dataset, f"{dataset}-{context}", context, part, PAD, digest)


def log(
    tracker: tracking.Tracker,
    model: "keras.Model",
    history: pd.DataFrame,
    example: NDArray[Any],
) -> None:
    """Log what `data/train` holds, whatever of it the run has already; a tag says it is all."""
    tracker.log(tracking.log_curves, history, tracker.begun)
    tracker.log(tracking.log_folder, FOLDER, LOGGED, FOLDER.name)
    tracker.log(tracking.log_model, model, example.astype(np.int32), len(history))
    digest = files.read_about(FOLDER)["files"]["model.keras"]
    outputs = {tracking.COMPLETE.format("train"): files.sha256(FOLDER / files.ABOUT)}
    tracker.log(tracking.set_tags, {"model.sha256": digest, **outputs})


def describe(job: Job, key: str) -> dict[str, str]:
    """Tags that lead back from the run: to code, data, packages and machine."""
    known = {tracking.KEY: key, "dataset": job.shaping["fetch.dataset"]}
    return {**known, **tracking.provenance(), **data_tags(), **machine.describe()}


def train(job: Job, kept: Path, tags: dict[str, str]) -> tracking.Run:
    """Train, write `data/train` and log it, going on with what the checkpoints in `kept` hold."""
    name = run_name(job.params, job.shaping, tags.get("dvc.experiment"))
    newest, diff = checkpoint.latest(kept), tracking.uncommitted_diff()
    with tracking.started(name, job.shaping, tags, finished_too=newest is not None) as tracker:
        log_data(tracker, tags["dataset"], job.learning, job.validation)
        model, path = make_model(job)
        print(f"Training by {path}", flush=True)
        tags = {**tags, "train.path": path}
        tracker.log(tracking.set_tags, tags)
        trained = go_on(job, model, kept, newest, tracker)
        identity = {**tracker.run._asdict(), **tracker.times(), "tags": tags}
        with files.replaced(FOLDER) as folder:
            write(folder, model, trained, identity, diff)
            files.write_about(folder, job.shaping)
        log(tracker, model, trained.history, job.learning.x[:2])
    return tracker.run


def main() -> None:
    job = read_job()
    key = job.key()
    with checkpoint.held(key) as kept:
        tags = {**describe(job, key), tracking.CHECKPOINT: checkpoint.identity(kept)}
        run = train(job, kept, tags)
    print(f"MLflow run {run.run_id}: {run.name}")


if __name__ == "__main__":
    command.run("train", main)
