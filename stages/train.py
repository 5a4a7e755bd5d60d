"""Stage 3: train the model, watched by MLflow.

Writes `data/train/`: `model.keras`, `history.csv` (a row an epoch), `metrics.json` (the epoch
whose weights are kept) and `run.json` (which MLflow run this is).
"""

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages import command, files, tracking
from stages.backend import load_keras
from stages.batches import batches
from stages.command import UserError
from stages.model import build_model
from stages.params import Train, flatten, load_params

if TYPE_CHECKING:
    import keras

FOLDER = files.DATA / "train"
PAD = files.DATA / "pad"
FIGURES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")

OnEpoch = Callable[[int, dict[str, float]], None]


class Part(NamedTuple):
    """Reviews to learn from or to validate on.

    Attributes:
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,), 1 = positive.
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]


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
    model: "keras.Model", learning: Part, validation: Part, params: Train, on_epoch: OnEpoch
) -> Trained:
    """Train the model in place and call `on_epoch` as each epoch ends.

    Raises:
        UserError: a figure of an epoch is not finite: the training diverged.
    """
    rows: list[dict[str, float]] = []
    stopping = _early_stopping(params)
    model.fit(
        batches(*learning, batch_size=params.batch_size, shuffle=True),
        validation_data=batches(
            *validation, batch_size=params.validation_batch_size, shuffle=False
        ),
        epochs=params.epochs,
        shuffle=False,  # the batches are shuffled already
        callbacks=[_recorder(rows, on_epoch), *stopping],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    history = pd.DataFrame(rows, columns=list(FIGURES))
    history.insert(0, "epoch", range(1, len(rows) + 1))
    return Trained(history, stopping[0].best_epoch + 1 if stopping else len(rows))


def _recorder(rows: list[dict[str, float]], on_epoch: OnEpoch) -> "keras.callbacks.Callback":
    """A callback that adds each epoch's figures to `rows` and passes them on."""
    import keras

    begun: list[float] = []

    def begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    def end(epoch: int, logs: dict[str, float]) -> None:
        figures = {**logs, "seconds": time.perf_counter() - begun[-1]}
        rows.append({name: float(figures[name]) for name in FIGURES})
        on_epoch(epoch + 1, rows[-1])
        if not all(map(math.isfinite, rows[-1].values())):
            loss = rows[-1]["loss"]
            raise UserError(f"Epoch {epoch + 1} diverged, loss {loss}: lower train.learning_rate.")

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _early_stopping(params: Train) -> "list[keras.callbacks.EarlyStopping]":
    import keras

    wanted = params.early_stopping
    stopping = keras.callbacks.EarlyStopping(
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


def record_data(learning: Part, validation: Part, dataset: str) -> None:
    """Name both parts of the training data in the active run."""
    cut, end = len(learning.x), len(learning.x) + len(validation.x)
    named = {"training": (learning, slice(0, cut)), "validation": (validation, slice(cut, end))}
    for context, (part, rows) in named.items():
        digest = files.short_digest(PAD, ["x_train", "y_train"], rows)
        tracking.log_dataset(f"{dataset}-{context}", context, part, PAD, digest)


def write(folder: Path, model: "keras.Model", trained: Trained, run: tracking.Run) -> None:
    """Write the model, the history, the metrics and the run's identity into an empty folder."""
    model.save(folder / "model.keras")
    trained.history.to_csv(folder / "history.csv", index=False)
    files.write_json(folder / "metrics.json", summarize(trained))
    files.write_json(folder / "run.json", run._asdict())


def main() -> None:
    params = load_params().train
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    learning, validation = split(x, y, params.validation_split)
    shaping = files.read_about(PAD)["params"] | flatten(params, "train")
    dataset = shaping["fetch.dataset"]
    tags = {"dataset": dataset, **tracking.provenance()}
    name = run_name(params, shaping, tags.get("dvc.experiment"))
    with tracking.started(name, shaping, tags) as run:
        record_data(learning, validation, dataset)
        prepare(params)
        model = build_model(params, shaping["pad.num_words"], x.shape[1])
        path = accelerate(model, params)
        print(f"Training by {path}")
        tracking.tag("train.path", path)
        trained = fit(model, learning, validation, params, partial(tracking.log_epoch, run))
        with files.replaced(FOLDER) as folder:
            write(folder, model, trained, run)
            files.write_about(folder, shaping)
            tracking.log_model(run, model, x[:2].astype(np.int32))
            tracking.log_files(folder, ["history.csv", "metrics.json"])
    print(f"MLflow run {run.run_id}: {name}")


if __name__ == "__main__":
    command.run("train", main)
