"""The paths of the pipeline's files.

DVC keeps `data/<stage>/` in its cache, and git keeps `metrics/`. No file has a time or an id of a
run, so the same pipeline writes the same files again.
"""

import os
from pathlib import Path

DATA = Path("data")
FETCH_FOLDER = DATA / "fetch"
PAD_FOLDER = DATA / "pad"
TRAIN_FOLDER = DATA / "train"
EVALUATE_FOLDER = DATA / "evaluate"
FOLDERS = (FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER, EVALUATE_FOLDER)  # in the order of the stages
METRICS_FOLDER = Path("metrics")
MODEL_FILE = TRAIN_FOLDER / "model.keras"
WORD_INDEX_FILE = FETCH_FOLDER / "word_index.json"
HISTORY_FILE = METRICS_FOLDER / "history.csv"
GRADIENTS_FILE = METRICS_FOLDER / "gradients.csv"
DVC_LOCK = Path("dvc.lock")
METRICS_NAME = "metrics.json"  # all metrics of a stage, in its folder of data/
TRAINING_METRICS_FILE = TRAIN_FOLDER / METRICS_NAME
TEST_METRICS_FILE = EVALUATE_FOLDER / METRICS_NAME
PREDICTIONS_FILE = EVALUATE_FOLDER / "predictions.csv"
MANIFEST_NAME = "manifest.json"  # in each folder of data/, see `sentiment.project.manifest`


def root() -> Path:
    """Return the project's root, also for a stage that runs in a temporary copy of the project.

    DVC names the root in `DVC_ROOT`. `dvc exp run --temp` and queued experiments run elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()
