"""Read dvc.yaml and dvc.lock, and ask DVC whether the results are those of dvc.lock."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentiment.errors import UserError
from sentiment.project.params_file import read_yaml
from sentiment.project.paths import Project

NOT_CACHED = "not in cache"  # of an output: `dvc repro --no-commit` has written it
MODEL_STAGES = ("fetch", "pad", "train")  # their entries in dvc.lock say how a model was made


def stage_dependencies(project: Project) -> dict[str, list[str]]:
    """Return the files and folders that dvc.yaml lists for each stage."""
    stages = read_yaml(project.dvc_yaml)["stages"]
    return {name: stage.get("deps", []) for name, stage in stages.items()}


def read_model_stages(project: Project, run_file: Path) -> dict[str, Any] | None:
    """Return the entries of `MODEL_STAGES` in dvc.lock if DVC has recorded a training.

    Args:
        run_file: the record of the training's run, which the stage `train` writes.

    Returns:
        None if dvc.lock describes another training, or none.
    """
    if not project.dvc_lock.exists():
        return None
    stages = (read_yaml(project.dvc_lock) or {}).get("stages", {})
    outputs = {out["path"]: out.get("md5") for out in stages.get("train", {}).get("outs", [])}
    digest = hashlib.md5(run_file.read_bytes(), usedforsecurity=False).hexdigest()  # as DVC does
    is_recorded = outputs.get("data/run.json") == digest
    if not is_recorded:
        return None
    return {name: stages[name] for name in MODEL_STAGES if name in stages}


def changed_outputs(project: Project) -> list[str]:
    """Return the paths in `data/` and `metrics/` that are not as dvc.lock says.

    Raises:
        UserError: DVC cannot tell.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"dvc status failed: {done.stderr.strip()}")
    return differing_outputs(project, json.loads(done.stdout))


def differing_outputs(project: Project, status: Mapping[str, Sequence[Any]]) -> list[str]:
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
    return sorted(
        {path for path, state in states if is_output(project, path) and state != NOT_CACHED}
    )


def is_output(project: Project, path: str) -> bool:
    """Return whether a stage writes this path, which is relative to the project's folder."""
    return any((project.folder / path).is_relative_to(output) for output in project.outputs)
