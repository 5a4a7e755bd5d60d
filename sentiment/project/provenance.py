"""Where a training comes from: commit, uncommitted changes, DVC experiment, machine.

MLflow itself adds the branch and the user to the tags of a run.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from sentiment.backend import usable_cores
from sentiment.errors import redact
from sentiment.project.dvc import stage_dependencies
from sentiment.project.git import git
from sentiment.project.machine import machine_tags
from sentiment.project.paths import Project

# Tags of a run
COMMIT = "mlflow.source.git.commit"  # MLflow sets it only if it finds the main program in git
DVC_EXPERIMENT = "dvc.experiment"
DVC_BASELINE = "dvc.baseline"
CORES = "cores"  # on which the bits do not depend
DIFF = "git.diff"  # says what the diff lacks
REPOSITORY = "mlflow.source.git.repoURL"  # MLflow's own, which may contain a token
MAX_DIFF_BYTES = 2**20
# Only these are in a run's diff. Other files may hold texts, or keys as `.dvc/config` does.
DIFFED_PATHS = (
    ":(glob)**/*.py",
    "params.yaml",
    "dvc.yaml",
    "requirements.txt",
)


class UncommittedChanges(NamedTuple):
    """The changes of code and params since the last commit.

    Attributes:
        diff: what `git apply` takes, without passwords in URLs.
        missing: clauses that say which changes are not in the diff.
    """

    diff: str
    missing: list[str]


def uncommitted_changes(project: Project) -> UncommittedChanges:
    """Ask git for the changes of code and params since the last commit."""
    # `git apply` needs the default prefixes, which a user may have configured away.
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--relative", *prefixes)
    changes = git(project.folder, "diff", *options, "HEAD", "--", *DIFFED_PATHS)
    dependencies = {path for listed in stage_dependencies(project).values() for path in listed}
    code = sorted(filter(is_code, dependencies))
    listed = git(project.folder, "ls-files", "--others", "--exclude-standard", "--", *code)
    return limit_changes(changes, listed.splitlines())


def is_code(dependency: str) -> bool:
    """Return whether a dependency in dvc.yaml is code, and not data or a param's value."""
    return not dependency.startswith(("$", "data/", "metrics/"))


def limit_changes(changes: str, untracked: Sequence[str]) -> UncommittedChanges:
    """Take passwords out of a diff, limit its size, and say what it lacks.

    Args:
        untracked: the files of code that git does not track.
    """
    diff = redact(changes)
    missing = []
    if diff != changes:
        missing.append("a password or the query of a URL was taken out")
    if len(diff.encode()) > MAX_DIFF_BYTES:
        kept = diff.encode()[:MAX_DIFF_BYTES].decode(errors="ignore")
        diff = f"{kept}\n[cut after {MAX_DIFF_BYTES:,} bytes]"
        missing.append(f"it is cut after {MAX_DIFF_BYTES:,} bytes")
    if untracked:
        missing.append(f"git does not track {', '.join(untracked)}")
    return UncommittedChanges(diff, missing)


def provenance_tags(project: Project, changes: UncommittedChanges) -> dict[str, str]:
    """Return tags of the commit, what the diff lacks, the machine and DVC's experiment."""
    tags = {**machine_tags(), CORES: str(usable_cores())}
    commit = git(project.folder, "rev-parse", "HEAD")
    if commit:
        tags[COMMIT] = commit
    if changes.missing:
        tags[DIFF] = f"not complete: {'; '.join(changes.missing)}"
    remotes = git(project.folder, "remote").splitlines()
    if remotes:
        tags[REPOSITORY] = redact(git(project.folder, "remote", "get-url", remotes[0]))
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags[DVC_EXPERIMENT] = experiment
        tags[DVC_BASELINE] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return tags
