"""Read dvc.yaml and dvc.lock, and ask DVC whether the results are those of dvc.lock."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentiment.errors import UserError
from sentiment.params import TrainParams
from sentiment.project import paths
from sentiment.project.params_file import read_yaml

DVC_YAML = Path("dvc.yaml")
NOT_CACHED = "not in cache"  # of an output: `dvc repro --no-commit` has written it
MODEL_STAGES = ("fetch", "pad", "train")  # their entries in dvc.lock say how a model was made


def stage_dependencies() -> dict[str, list[str]]:
    """Return the files and folders that dvc.yaml lists for each stage."""
    stages = read_yaml(DVC_YAML)["stages"]
    return {name: stage.get("deps", []) for name, stage in stages.items()}


def read_model_stages(params: TrainParams) -> dict[str, Any] | None:
    """Return the entries of `MODEL_STAGES` in dvc.lock.

    Two trainings with the same params and the same metrics of all epochs count as the same.

    Args:
        params: those of the training in `data/train`.

    Returns:
        None if there are no such entries, or if they are of another training.
    """
    try:
        stages = read_yaml(paths.DVC_LOCK)["stages"]
        entries = {name: stages[name] for name in MODEL_STAGES}
        outs = {out["path"]: out["md5"] for out in stages["train"]["outs"]}
        locked = stages["train"]["params"]["params.yaml"]["train"]
    except (UserError, KeyError, TypeError):  # without DVC, it may be missing or incomplete
        return None
    content = paths.HISTORY_FILE.read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()  # as DVC computes it
    has_history = outs.get(paths.HISTORY_FILE.as_posix()) == digest
    return entries if has_history and locked == params.model_dump() else None


def changed_outputs() -> list[str]:
    """Return the paths in `data/` and `metrics/` that are not as dvc.lock says.

    Raises:
        UserError: DVC cannot tell.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"dvc status failed: {done.stderr.strip()}")
    return differing_outputs(json.loads(done.stdout))


def differing_outputs(status: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the outputs that differ, given what `dvc status --json` prints.

    Changed params, code and tables are ignored: the outputs are still those of dvc.lock.

    Args:
        status: for each stage, mappings from paths to how they differ, under a title such as
            "changed outs"; and titles alone, such as "changed command".
    """
    sections = [section for entries in status.values() for section in entries]
    states = [
        path_and_state
        for section in sections
        if isinstance(section, dict)
        for states_by_path in section.values()
        for path_and_state in states_by_path.items()
    ]
    return sorted({path for path, state in states if is_output(path) and state != NOT_CACHED})


def is_output(path: str) -> bool:
    """Return whether a stage writes this path."""
    return Path(path) in paths.FOLDERS or Path(path).is_relative_to(paths.METRICS_FOLDER)
