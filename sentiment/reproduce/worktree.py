"""Run a run again in a temporary git worktree, which has a store of its own.

The arrays may come from DVC's cache of the project, but the training uses a cache of its own. The
project's would restore an earlier result instead of training, and it would later restore the
`data/run.json` of the worktree in the project.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiment.errors import UserError
from sentiment.project.git import git
from sentiment.project.own_table import find_pointer, table_paths
from sentiment.project.params_file import load_params, update_params_file
from sentiment.project.paths import Project
from sentiment.project.provenance import COMMIT
from sentiment.reproduce.record import RecordedRun
from sentiment.tracking.runs import DIFF_ARTIFACT
from sentiment.tracking.store import SQLITE

DVC = (sys.executable, "-m", "dvc")
# Without hooks: the one of `dvc install` fails in a worktree whose cache is still empty.
GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
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
    commit = run.tags[COMMIT]
    if not git(project.folder, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
        raise UserError(
            f"git does not have the commit {commit} of run {run.run_id}. If it is in a remote "
            "repository: git fetch"
        )
    ask(project.folder, *GIT, "worktree", "add", "--detach", str(folder), commit)
    try:
        root = folder / subfolder
        copy = Project(root, root)
        diff = run.folder / DIFF_ARTIFACT
        if diff.exists():
            # The diff's paths begin in the project, and git takes them from the top.
            options = ("--whitespace=nowarn", f"--directory={subfolder}")
            ask(folder, "git", "apply", *options, str(diff))
        update_params_file(copy.params_file, run.params)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        git(project.folder, "worktree", "prune")


def run_stages(project: Project, copy: Project, database: Path) -> None:
    """Run all stages in a worktree.

    Args:
        database: the SQLite database of the worktree's store, which does not exist yet.

    Raises:
        UserError: a stage failed, or a table of one's own texts is missing.
    """
    # DVC's own site cache may be written by every account (SECURITY.md).
    site = str(copy.folder.resolve() / ".dvc" / "tmp" / "site")
    ask(copy.folder, *DVC, "config", "--local", "core.site_cache_dir", site)
    cache = ask(project.folder, *DVC, "cache", "dir").strip()
    ask(copy.folder, *DVC, "config", "--local", "cache.dir", cache)
    check_out_tables(project, copy)
    repro(copy, database, "pad")
    ask(copy.folder, *DVC, "config", "--local", "--unset", "cache.dir")
    repro(copy, database, "--force", "--single-item", "train")
    repro(copy, database, "--force", "--single-item", "evaluate")


def check_out_tables(project: Project, copy: Project) -> None:
    """Bring the tables that DVC tracks into a worktree. Those that git tracks are there.

    Raises:
        UserError: a table is missing, and DVC does not track it or cannot get it.
    """
    for table in table_paths(load_params(copy.params_file).fetch):
        if (copy.folder / table).exists():
            continue
        # Trained before the .dvc file was committed: the present one may have the same table.
        pointer = find_pointer(copy, table)
        own_pointer = find_pointer(project, table)
        if pointer is None and own_pointer is not None:
            pointer = copy.folder / own_pointer.relative_to(project.folder)
            pointer.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own_pointer, pointer)
        if pointer is None:
            raise UserError(
                f"The commit of the run does not have {table}, and DVC does not track it. To let "
                f"DVC track it: dvc add {shlex.quote(str(table))}"
            )
        ask(copy.folder, *DVC, "pull", str(pointer.relative_to(copy.folder)))


def repro(copy: Project, database: Path, *arguments: str) -> None:
    """Run `dvc repro` in a worktree.

    Raises:
        UserError: it failed.
    """
    words = " ".join(("dvc", "repro", *arguments))
    print(f"In a worktree of the run: {words}", flush=True)
    done = subprocess.run(
        [*DVC, "repro", *arguments],
        cwd=copy.folder,
        env={**allowed_environment(), "MLFLOW_TRACKING_URI": f"{SQLITE}{database}"},
        # `evaluate` says where to look at a run that is removed with the worktree.
        stdout=subprocess.DEVNULL if "evaluate" in arguments else None,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{words} failed in a worktree of the run, see above.")


def allowed_environment() -> dict[str, str]:
    """Return the environment without `VARIABLES`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}


def ask(folder: Path, *command: str) -> str:
    """Run a command of git or DVC in a folder, and return its output.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=allowed_environment(),
        stdin=subprocess.DEVNULL,  # a question would not be seen
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
