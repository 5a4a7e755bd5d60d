"""Run a run again in a temporary git worktree.

The worktree has a store of its own, and shares DVC's cache with the project. The training is not
added to that cache: `dvc repro` in the project would restore it, with the id of a run that no store
has.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.project.files.params_file import read_yaml
from sentiment.project.files.paths import Project
from sentiment.project.training.provenance import COMMIT
from sentiment.project.versioning.dvc import DVC, changed_paths, is_output
from sentiment.project.versioning.git import git
from sentiment.project.versioning.own_table import find_pointer
from sentiment.reproduce.record import RecordedRun
from sentiment.terminal import show
from sentiment.tracking.runs import DIFF_ARTIFACT, LOCK_ARTIFACT

GIT = ("git", "-c", f"core.hooksPath={os.devnull}")  # `dvc install` adds hooks that call DVC
# These would lead DVC, MLflow, git and Python from the worktree into the project.
VARIABLES = ("DVC_", "MLFLOW_", "GIT_", "PYTHONPATH", "PYTHONSAFEPATH")


@contextmanager
def worktree(project: Project, run: RecordedRun, folder: Path) -> Iterator[Project]:
    """Yield a worktree with the commit, the uncommitted changes and the params of a run.

    Args:
        folder: the worktree, which does not exist yet. It is removed after the block.

    Raises:
        UserError: git or DVC cannot make it.
    """
    commit = run.tags[COMMIT]
    if not git(project.folder, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
        raise UserError(
            f"This repository does not have the commit {commit} of run {run.run_id}. Run `git "
            "fetch`, which may get it."
        )
    subfolder = git(project.folder, "rev-parse", "--show-prefix")
    run_command(project.folder, *GIT, "worktree", "add", "--detach", str(folder), commit)
    try:
        root = folder / subfolder
        copy = Project(root, root)
        diff = run.folder / DIFF_ARTIFACT
        if diff.exists():
            # The diff's paths begin in the project, and git takes them from the top.
            run_command(
                folder, "git", "apply", "--whitespace=nowarn", f"--directory={subfolder}", str(diff)
            )
        # Not validated: the commit's params.yaml need not have the params of today.
        committed = read_yaml(copy.params_file)
        evaluate = {**committed["evaluate"], **run.params["evaluate"]}
        YAML().dump({**committed, **run.params, "evaluate": evaluate}, copy.params_file)
        get_tables(project, run, copy)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        git(project.folder, "worktree", "prune")


def get_tables(project: Project, run: RecordedRun, copy: Project) -> None:
    """Get the tables and word vectors of a run that git lacks from DVC's cache or its remote.

    Raises:
        UserError: DVC does not have one of them either.
    """
    lock = read_yaml(run.folder / LOCK_ARTIFACT)
    stages = [lock["stages"][name] for name in ("fetch", "pad")]
    made = {entry["path"] for stage in stages for entry in stage["outs"]}
    read = {entry["path"] for stage in stages for entry in stage["deps"]}
    for path in sorted(read - made):
        if (copy.folder / path).exists():
            continue
        pointer = find_pointer(copy, Path(path))
        if pointer is None:
            raise UserError(
                f"Run {run.run_id} was trained on {path}, which its commit does not have: neither "
                "git nor DVC tracks it. Add it (`dvc add`), commit, and train again."
            )
        tracked = str(pointer.relative_to(copy.folder).with_suffix(""))
        place = str(copy.folder.resolve() / tracked)
        run_command(
            project.folder, *DVC, "get", ".", tracked, "--rev", run.tags[COMMIT], "--out", place
        )


def check_dependencies(run: RecordedRun, copy: Project) -> None:
    """Check that a worktree has the tables and the code that the dvc.lock of a run names.

    Raises:
        UserError: the run was trained on other ones.
    """
    shutil.copyfile(run.folder / LOCK_ARTIFACT, copy.dvc_lock)
    stages = read_yaml(copy.dvc_lock)["stages"]
    status = json.loads(run_command(copy.folder, *DVC, "status", "--json", *stages))
    fetch = run.params["fetch"]
    unread = {*fetch["table"].values()} if fetch["dataset"] != "table" else set()
    differing = [path for path in changed_paths(status) if path not in unread]
    differing = [path for path in differing if not is_output(copy, path)]
    if differing:
        raise UserError(
            f"In the commit of run {run.run_id}, these files differ from those that it was trained "
            f"with: {', '.join(differing)}. Commit what a training reads before you train."
        )


def run_stages(project: Project, run: RecordedRun, copy: Project, database: Path) -> None:
    """Run all stages in a worktree. The arrays may come from DVC's cache, but the model may not.

    Args:
        database: the SQLite database of the worktree's store, which does not exist yet.

    Raises:
        UserError: a stage failed, or the worktree lacks what the run was trained with.
    """
    environment = {name: value for name, value in os.environ.items() if is_allowed(name)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    cache = run_command(project.folder, *DVC, "cache", "dir").strip()
    run_command(copy.folder, *DVC, "config", "--local", "cache.dir", cache)
    # DVC's own site cache may be written by every account (SECURITY.md).
    site = str(copy.folder.resolve() / ".dvc" / "tmp" / "site")
    run_command(copy.folder, *DVC, "config", "--local", "core.site_cache_dir", site)
    forced = ("repro", "--force", "--single-item", "--no-commit")
    check_dependencies(run, copy)
    for arguments in (("repro", "pad"), (*forced, "train"), (*forced, "evaluate")):
        show(f"In a worktree of the run: dvc {' '.join(arguments)}")
        done = subprocess.run(
            [*DVC, *arguments],
            cwd=copy.folder,
            env=environment,
            # `evaluate` says where to look at a run that is removed with the worktree.
            stdout=subprocess.DEVNULL if arguments[-1] == "evaluate" else None,
            check=False,
        )
        if done.returncode:
            raise UserError(
                f"dvc {' '.join(arguments)} failed in a worktree of the run. Its message is above."
            )


def is_allowed(name: str) -> bool:
    """Return whether a stage in the worktree gets an environment variable."""
    return not name.startswith(VARIABLES)


def run_command(folder: Path, *command: str) -> str:
    """Run a command of git or DVC in a folder, and return its output.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if is_allowed(name)},
        stdin=subprocess.DEVNULL,  # a question would not be seen
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
