"""What `train` logs to its run."""

from typing import TYPE_CHECKING

import pandas as pd

from sentiment.gradients import curve
from sentiment.network.batches import Part
from workflow import files
from workflow.files import PAD, TRAIN
from workflow.runs import log
from workflow.runs.tracking import Tracker

if TYPE_CHECKING:
    import keras

LOGGED = ["gradients.csv", "history.csv", "metrics.json"]
DIFF = "uncommitted.diff"
INITIAL_GRADIENT = "initial_gradient_norm"  # metric, whose steps are words before the last one


def log_data(tracker: Tracker, dataset: str, learning: Part, validation: Part) -> None:
    """Name both parts of the training data in the run."""
    cut, end = len(learning.x), len(learning.x) + len(validation.x)
    named = {"training": (learning, slice(0, cut)), "validation": (validation, slice(cut, end))}
    for context, (part, rows) in named.items():
        digest = files.short_digest(PAD, ["x_train", "y_train"], rows)
        tracker.log(log.dataset, f"{dataset}-{context}", context, part, PAD, digest)


def log_history(tracker: Tracker, history: pd.DataFrame) -> None:
    """Log what the run lacks of a history, see `sentiment.network.training.Trained`."""
    ended = tracker.begun + (1000 * history["seconds"].cumsum()).astype(int)
    tracker.log(log.curves, history.set_index("epoch"), ended)


def log_outputs(
    tracker: Tracker,
    model: "keras.Model",
    history: pd.DataFrame,
    gradients: pd.DataFrame,
    diff: str,
) -> None:
    """Log all of `data/train`.

    Args:
        tracker: of the run, which must be the active one.
        model: the trained model.
        history: see `sentiment.network.training.Trained`.
        gradients: before the first epoch, see `sentiment.gradients.table`.
        diff: what the code had of changes without a commit; empty where it had none.

    Raises:
        UserError: a file is not as `train` wrote it.
    """
    for name in LOGGED:
        files.checked(TRAIN / name)
    log_history(tracker, history)
    norms = curve(gradients, INITIAL_GRADIENT)
    tracker.log(log.curves, norms, [tracker.begun] * len(norms))
    tracker.log(log.folder, TRAIN, LOGGED, TRAIN.name)
    if diff:
        tracker.log(log.text, f"{diff}\n", f"{TRAIN.name}/{DIFF}")
    tracker.log(log.keras_model, model, len(history))
    digest = files.read_about(TRAIN)["files"]["model.keras"]
    tracker.log(log.set_tags, {"model.sha256": digest})
    tracker.log(log.complete, TRAIN.name, TRAIN)
