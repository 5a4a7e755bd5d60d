"""Commands and files that tests of real commands use. A renamed one is changed here alone."""

import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "sentiment")  # the code of the clone, not the installed one
REPRO = ("dvc", "repro")

FETCH_FOLDER = Path("data/fetch")
PAD_FOLDER = Path("data/pad")
MODEL_FILE = Path("data/train/model.keras")
METRICS = Path("metrics/evaluate.json")
METRICS_ARTIFACT = "metrics/evaluate.json"
PREDICTIONS = Path("data/evaluate/predictions.csv")
CHECKPOINTS = Path(".checkpoint")
STATE = "state.npz"  # in the folder of a checkpoint
