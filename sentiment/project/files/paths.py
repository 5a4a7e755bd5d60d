"""The paths of the project's files.

The files of a model, which a logged model has copies of, are in `sentiment.text.model_files`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Files in data/fetch and data/pad
DATASET_FILE = "dataset.json"
TEST_ROWS_FILE = "test_rows.parquet"
VECTORS = "vectors"  # the name of the array of word vectors
# Files in data/train and data/evaluate
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
PARAMS_FILE = "params.json"
PREDICTIONS_FILE = "predictions.csv"
CARD_FILE = "card.md"


@dataclass(frozen=True)
class Project:
    """The paths of a working copy of the project.

    DVC keeps `data/<stage>/` and `data/run.json` in its cache. Git keeps `metrics/`.

    Attributes:
        folder: the folder that stages read and write. `dvc exp run --temp` and queued experiments
            run in a temporary copy of the project.
        root: the project's root, which has the tracking store and the checkpoints.
    """

    folder: Path
    root: Path

    @classmethod
    def here(cls) -> Self:
        """Return the project in the working directory. DVC names its root in `DVC_ROOT`."""
        return cls(Path(), Path(os.environ.get("DVC_ROOT") or ".").resolve())

    @property
    def is_temporary_copy(self) -> bool:
        """Whether DVC has copied the project for an experiment."""
        return self.folder.resolve() != self.root

    @property
    def params_file(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def dvc_yaml(self) -> Path:
        return self.folder / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        return self.folder / "dvc.lock"

    @property
    def fetched(self) -> Path:
        return self.folder / "data" / "fetch"

    @property
    def padded(self) -> Path:
        return self.folder / "data" / "pad"

    @property
    def trained(self) -> Path:
        return self.folder / "data" / "train"

    @property
    def run_file(self) -> Path:
        return self.folder / "data" / "run.json"

    @property
    def evaluated(self) -> Path:
        return self.folder / "data" / "evaluate"

    @property
    def metrics(self) -> Path:
        """The metrics to compare, and the tables of DVC's plots."""
        return self.folder / "metrics"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The folders and files that the stages write, in the order of the stages."""
        in_data = (self.fetched, self.padded, self.trained, self.run_file, self.evaluated)
        return (*in_data, self.metrics)

    @property
    def checkpoints(self) -> Path:
        return self.root / ".checkpoint"
