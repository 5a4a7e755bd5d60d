"""Files dvc.lock, as DVC writes them."""

import hashlib
from pathlib import Path

from sentiment.project.files.documents import write_json
from sentiment.project.files.paths import Project


def write_lock(project: Project, run_file: Path) -> None:
    """Write a dvc.lock with all stages, in which the stage `train` has this `data/run.json`."""
    digest = hashlib.md5(run_file.read_bytes()).hexdigest()
    stages: dict[str, object] = {name: {"outs": []} for name in ("fetch", "pad", "evaluate")}
    stages["train"] = {"outs": [{"path": "data/run.json", "md5": digest}]}
    write_json(project.dvc_lock, {"schema": "2.0", "stages": stages})
