"""The paths of the project's files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


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
    def params_file(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def presets(self) -> Path:
        return self.folder / "presets"

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

    @property
    def training_lock(self) -> Path:
        """The file that is locked while a training writes into this working copy."""
        return self.folder / ".checkpoint" / "lock"
