"""Read dvc.yaml and dvc.lock, and ask DVC whether the results are those of dvc.lock."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentiment.errors import UserError
from sentiment.project.files.digests import file_md5
from sentiment.project.files.documents import wrong_folder_error
from sentiment.project.files.params_file import read_yaml
from sentiment.project.files.paths import Project

DVC = (sys.executable, "-m", "dvc")  # of this environment
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
    is_recorded = outputs.get("data/run.json") == file_md5(run_file)
    if not is_recorded:
        return None
    return {name: stages[name] for name in MODEL_STAGES if name in stages}


def committed_md5(project: Project, path: Path) -> str | None:
    """Return the MD5 that the last commit records of a file that DVC tracks, or None.

    Args:
        path: the file, relative to the project's folder. It may be in a folder that DVC tracks.
    """
    done = subprocess.run(
        [*DVC, "list", ".", str(path), "--rev", "HEAD", "--json", "--show-hash"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    entries = json.loads(done.stdout) if done.returncode == 0 else []
    return entries[0].get("md5") if entries else None


def changed_outputs(project: Project) -> list[str]:
    """Return the paths in `data/` and `metrics/` that are not as dvc.lock says.

    Raises:
        UserError: DVC cannot tell, or this is no folder of the project.
    """
    if not project.dvc_yaml.exists():
        raise wrong_folder_error(project.dvc_yaml)
    done = subprocess.run(
        [*DVC, "status", "--json"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # DVC repeats some of its messages, such as the one about a lock.
        lines = dict.fromkeys(line.strip() for line in done.stderr.strip().splitlines())
        raise UserError(f"dvc status failed: {' '.join(lines)}")
    return differing_outputs(project, json.loads(done.stdout))


def differing_outputs(project: Project, status: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the outputs that differ, given what `dvc status --json` prints.

    Changed params, code and tables are ignored: the outputs are still those of dvc.lock.

    Args:
        status: for each stage, mappings from paths to how they differ, under a title such as
            "changed outs"; and titles alone, such as "changed command".
    """
    return [path for path in changed_paths(status) if is_output(project, path)]


def changed_paths(status: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the dependencies and outputs that differ, given what `dvc status --json` prints."""
    sections = [section for entries in status.values() for section in entries]
    states = [
        path_and_state
        for section in sections
        if isinstance(section, dict)
        for states_by_path in section.values()
        for path_and_state in states_by_path.items()
    ]
    # A file of params has a mapping of their states.
    return sorted(
        {path for path, state in states if isinstance(state, str) and state != NOT_CACHED}
    )


def is_output(project: Project, path: str) -> bool:
    """Return whether a stage writes this path, which is relative to the project's folder."""
    return any((project.folder / path).is_relative_to(output) for output in project.outputs)
