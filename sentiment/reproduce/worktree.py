"""Run a run again in a temporary git worktree.

The worktree has a store of its own, and shares DVC's cache with the project.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiment.errors import UserError
from sentiment.project.git import git
from sentiment.project.params_file import update_params_file
from sentiment.project.paths import Project
from sentiment.project.provenance import COMMIT
from sentiment.reproduce.record import RecordedRun
from sentiment.tracking.runs import DIFF_ARTIFACT

DVC = (sys.executable, "-m", "dvc")
# These would lead DVC, MLflow, git and Python from the worktree into the project.
VARIABLES = ("DVC_", "MLFLOW_", "GIT_", "PYTHONPATH", "PYTHONSAFEPATH")


@contextmanager
def worktree(project: Project, run: RecordedRun, folder: Path) -> Iterator[Project]:
    """Yield a worktree with the commit, the uncommitted changes and the params of a run.

    Args:
        folder: the worktree, which does not exist yet. It is removed after the block.

    Raises:
        UserError: git cannot make it.
    """
    subfolder = git(project.folder, "rev-parse", "--show-prefix")
    ask(project.folder, "git", "worktree", "add", "--detach", str(folder), run.tags[COMMIT])
    try:
        root = folder / subfolder
        copy = Project(root, root)
        diff = run.folder / DIFF_ARTIFACT
        if diff.exists():
            # The diff's paths begin in the project, and git takes them from the top.
            ask(
                folder, "git", "apply", "--whitespace=nowarn", f"--directory={subfolder}", str(diff)
            )
        update_params_file(copy.params_file, run.params)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        git(project.folder, "worktree", "prune")


def run_stages(project: Project, copy: Project, database: Path) -> None:
    """Run all stages in a worktree. The arrays may come from DVC's cache, but the model may not.

    Args:
        database: the SQLite database of the worktree's store, which does not exist yet.

    Raises:
        UserError: a stage failed.
    """
    environment = {name: value for name, value in os.environ.items() if is_allowed(name)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    cache = ask(project.folder, *DVC, "cache", "dir").strip()
    ask(copy.folder, *DVC, "config", "--local", "cache.dir", cache)
    # DVC's own site cache may be written by every account (SECURITY.md).
    site = str(copy.folder.resolve() / ".dvc" / "tmp" / "site")
    ask(copy.folder, *DVC, "config", "--local", "core.site_cache_dir", site)
    forced = ("repro", "--force", "--single-item")
    for arguments in (("repro", "pad"), (*forced, "train"), (*forced, "evaluate")):
        print(f"In a worktree of the run: dvc {' '.join(arguments)}", flush=True)
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
                f"dvc {' '.join(arguments)} failed in a worktree of the run, see above. If a table "
                "is missing there, add it to git or DVC: dvc add FILE"
            )


def is_allowed(name: str) -> bool:
    """Return whether a stage in the worktree gets an environment variable."""
    return not name.startswith(VARIABLES)


def ask(folder: Path, *command: str) -> str:
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
