"""Run a run again in a clone of the repository.

The clone has a store and a cache of its own. DVC compares the clone's code, tables and params with
the run's dvc.lock.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.params import merge_params
from sentiment.project import paths
from sentiment.project.dvc import MODEL_STAGES, is_output
from sentiment.project.git import git
from sentiment.project.params_file import PARAMS_FILE, read_yaml
from sentiment.project.paths import FETCH_FOLDER
from sentiment.project.provenance import COMMIT
from sentiment.project.stage import STAGES
from sentiment.reproduce.record import RecordedRun
from sentiment.tracking.runs import DIFF_ARTIFACT, PARAMS_ARTIFACT

GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
DVC = (sys.executable, "-m", "dvc")
DVC_FOLDER = Path(".dvc")
LOCAL_CONFIG = DVC_FOLDER / "config.local"
PROJECT_CACHE = "project-cache"  # a remote of the clone
# These would lead DVC, MLflow, git and Python from the clone into the project.
VARIABLES = ("DVC_", "MLFLOW_", "GIT_", "PYTHONPATH", "PYTHONSAFEPATH")


def make_clone(run: RecordedRun, folder: Path) -> Path:
    """Clone the repository at the commit of a run, with its uncommitted changes and its params.

    Args:
        folder: the clone, which does not exist yet.

    Returns:
        The project's root in the clone.

    Raises:
        UserError: git cannot do it.
    """
    top = git("rev-parse", "--show-toplevel")
    subfolder = git("rev-parse", "--show-prefix")
    project = folder / subfolder
    # --shared: the commit of an experiment may not be on any branch.
    ask(folder.parent, *GIT, "clone", "--quiet", "--shared", "--no-checkout", top, str(folder))
    ask(folder, *GIT, "checkout", "--quiet", "--detach", run.tags[COMMIT])
    diff = run.folder / DIFF_ARTIFACT
    if diff.exists():
        # The diff's paths begin in the project, but git apply takes them from the repository's top.
        ask(folder, *GIT, "apply", "--whitespace=nowarn", f"--directory={subfolder}", str(diff))
    params = merge_params(read_yaml(project / PARAMS_FILE), read_yaml(run.folder / PARAMS_ARTIFACT))
    YAML().dump(params, project / PARAMS_FILE)
    shutil.copyfile(run.folder / paths.DVC_LOCK.name, project / paths.DVC_LOCK)
    return project


def run_stages(run: RecordedRun, project: Path) -> Sequence[str]:
    """Run the stages in a clone, whose dvc.lock then has the digests of the new results.

    The stage `fetch` is not run if DVC has the run's `data/fetch`.

    Args:
        project: the project's root in the clone.

    Returns:
        The stages that were run.

    Raises:
        UserError: the clone differs from the run's dvc.lock, or a stage failed.
    """
    has_data = pull_data(project)
    stages = STAGES[1:] if has_data else STAGES
    locked = [stage for stage in stages if stage in MODEL_STAGES]
    changed = changed_inputs(json.loads(ask(project, *DVC, "status", "--json", *locked)))
    if changed:
        advice = "Name another run."
        if not has_data:
            advice = (
                f"Nor has DVC its {FETCH_FOLDER}. To make that from the tables in this folder: "
                f"sentiment reproduce --params {run.run_id} && dvc repro fetch"
            )
        raise UserError(
            f"Run {run.run_id} cannot be run again. Its dvc.lock describes other files than its "
            f"commit with its uncommitted changes has: {', '.join(changed)}. {advice}"
        )
    for stage in stages:
        run_stage_in_clone(project, stage)
    ask(project, *DVC, "commit", "--force", *locked)
    return stages


def pull_data(project: Path) -> bool:
    """Get `data/fetch` from the project's cache or its remote, and return whether it is there."""
    configure_remotes(project)
    try:
        for remote in (("--remote", PROJECT_CACHE), ()):
            with suppress(UserError):
                ask(project, *DVC, "pull", *remote, str(FETCH_FOLDER))
                return True
    finally:
        (project / LOCAL_CONFIG).unlink()  # the run's code must not find the password of a remote
    return False


def configure_remotes(project: Path) -> None:
    """Let DVC read the project's cache and remotes from a clone, and write to neither.

    These are the remotes of today, since they may have moved.
    """
    from dvc.config import Config

    own = Config(str(DVC_FOLDER), validate=False)
    cache = own["cache"].get("dir", str((DVC_FOLDER / "cache").absolute()))
    folder = project / DVC_FOLDER
    config = Config(str(folder), validate=False)
    with config.edit("repo") as shared:
        shared["cache"]["dir"] = str(folder / "cache")
        # DVC's own site cache may be written by every account (SECURITY.md).
        shared["core"]["site_cache_dir"] = str(folder / "tmp" / "site")
    with config.edit("local") as local:
        local["remote"] = {**own["remote"], PROJECT_CACHE: {"url": cache}}
        local["core"] = {name: own["core"][name] for name in own["core"] if name == "remote"}


def changed_inputs(status: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return what differs from dvc.lock, but for what the stages write, given DVC's status.

    Args:
        status: for each stage, mappings such as "changed deps", and titles alone, such as "changed
            command".
    """
    changed = set()
    for stage, entries in status.items():
        for entry in entries:
            if isinstance(entry, str):
                changed.add(f"{entry} of the stage {stage}")
            else:
                changed |= {path for path in entry.get("changed deps", {}) if not is_output(path)}
    return sorted(changed)


def run_stage_in_clone(project: Path, name: str) -> None:
    """Run a stage of a clone with the packages of this environment.

    Raises:
        UserError: it failed.
    """
    print(f"In a clone of the run: python -m stages {name}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "stages", name],
        cwd=project,
        env=clean_environment(),
        # `evaluate` prints where to look at a run that is removed with the clone.
        stdout=subprocess.DEVNULL if name == STAGES[-1] else None,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The stage {name} failed in a clone of the run, see above.")


def ask(folder: Path, *command: str) -> str:
    """Run a command of git or DVC in a folder, and return its output.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,  # a question would not be seen
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"A command in a clone of the run failed: {done.stderr.strip()}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Return the environment without `VARIABLES`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
