"""Commands and files that the contract's tests use. A renamed one is changed here alone."""

import sys
from pathlib import Path

EXPERIMENT = "imdb-lstm"
MODEL = "synthetic-sentiment"
REPRO = (sys.executable, "-m", "tools.repro")
SYNC = (sys.executable, "-m", "tools.sync")
PROMOTE = (sys.executable, "-m", "tools.promote", "--run")
PREDICT = (sys.executable, "-m", "tools.predict", "--text")
PRESET = (sys.executable, "-m", "tools.preset", "--name")

FETCH = Path("data/fetch")
PAD = Path("data/pad")
MODEL_FILE = Path("data/train/model.keras")
HISTORY = Path("data/train/history.csv")
METRICS = Path("data/evaluate/metrics.json")
PREDICTIONS = Path("data/evaluate/predictions.csv")
CHECKPOINTS = ".checkpoints"
METRICS_ARTIFACT = "evaluate/metrics.json"
