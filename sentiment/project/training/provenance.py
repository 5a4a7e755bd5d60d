"""Where a training comes from: commit, uncommitted changes, DVC experiment, machine.

MLflow itself adds the branch and the user to the tags of a run.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sentiment.backend import usable_cores
from sentiment.errors import redact
from sentiment.project.files.digests import file_md5, read_dvcignore
from sentiment.project.files.paths import Project
from sentiment.project.training.machine import machine_tags
from sentiment.project.versioning.dvc import committed_md5, stage_dependencies
from sentiment.project.versioning.git import git, git_bytes, git_paths, literal_pathspec
from sentiment.project.versioning.own_table import find_pointer

# Tags of a run
COMMIT = "mlflow.source.git.commit"  # MLflow sets it only if it finds the main program in git
DVC_EXPERIMENT = "dvc.experiment"
DVC_BASELINE = "dvc.baseline"
CORES = "cores"  # on which the bits do not depend
UNRECORDED = "unrecorded"  # what the training depends on, but neither commit nor diff has
REPOSITORY = "mlflow.source.git.repoURL"  # MLflow's own, which may contain a token
MAX_DIFF_BYTES = 2**20
MAX_TAG_CHARACTERS = 8000  # MLflow cuts a longer tag of a run
MAX_NAMED = 10  # files in the line that `train` prints
# Only these are in a run's diff. Other files may hold texts, or keys as `.dvc/config` does.
DIFFED_CODE = "**/*.py"
DIFFED_PATHS = (f":(glob){DIFFED_CODE}", "params.yaml", "dvc.yaml", "requirements.txt")


class UncommittedChanges(NamedTuple):
    """Changes that a training depends on, and that the last commit does not have.

    Attributes:
        diff: the changes of code and params that `git apply` takes, without passwords in URLs.
        flaws: what is wrong with the diff, a clause each.
        files: what is known of each file that is not in the diff, by its path: its MD5, or that
            it was deleted.
    """

    diff: str
    flaws: list[str]
    files: dict[str, str]

    def describe(self, with_md5: bool) -> str:
        """Return what a run cannot record, on one line, or "" if it records everything."""
        named = [f"{path} ({state})" if with_md5 else path for path, state in self.files.items()]
        if not with_md5 and len(named) > MAX_NAMED:
            named[MAX_NAMED:] = [f"and {len(named) - MAX_NAMED} more"]
        return "; ".join([*self.flaws, *named])


def uncommitted_changes(project: Project, tables: Iterable[Path]) -> UncommittedChanges:
    """Ask git and DVC what a training depends on and the last commit does not have.

    Args:
        tables: the files that the params name, and that the training depends on.
    """
    if not git(project.folder, "rev-parse", "--verify", "--quiet", "HEAD"):
        return UncommittedChanges("", ["git has no commit of this folder"], {})
    # `git apply` needs the default prefixes, which a user may have configured away.
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--text", "--relative", *prefixes)
    printed = git_bytes(project.folder, "diff", *options, "HEAD", "--", *DIFFED_PATHS)
    diff, flaws = check_diff(printed)
    lacking = [*lacking_tables(project, tables), *lacking_code(project), *lacking_modules(project)]
    files = {shown_path(path): describe_content(project.folder / path) for path in lacking}
    return UncommittedChanges(diff, flaws, files)


def check_diff(printed: bytes | None) -> tuple[str, list[str]]:
    """Take passwords out of a diff, limit its size, and say what is wrong with it.

    Args:
        printed: what `git diff` printed. None: it failed.
    """
    if printed is None:
        return "", ["`git diff` failed, so there is no diff"]
    flaws = []
    text = printed.decode(errors="replace").rstrip("\n")
    if text.encode() != printed.rstrip(b"\n"):
        flaws.append("the diff is not UTF-8, so some of its characters were replaced")
    diff = "\n".join(map(redact, text.split("\n")))  # no address goes over a line's end
    if diff != text:
        flaws.append("a password or the query of a URL was taken out of the diff")
    if len(diff.encode()) > MAX_DIFF_BYTES:
        kept = diff.encode()[:MAX_DIFF_BYTES].decode(errors="ignore")
        diff = f"{kept}\n[cut after {MAX_DIFF_BYTES:,} bytes]"
        flaws.append(f"the diff is cut after {MAX_DIFF_BYTES:,} bytes")
    return diff, flaws


def lacking_tables(project: Project, tables: Iterable[Path]) -> list[Path]:
    """Return the tables that the last commit does not have as they are, and their `.dvc` files."""
    found = []
    for table in tables:
        pointer = find_pointer(project, table)
        if pointer is not None and differs_from_commit(project, pointer):
            found.append(pointer)
        if table.is_absolute() or differs_from_commit(project, table):
            found.append(table)
    return found


def differs_from_commit(project: Project, path: Path) -> bool:
    """Return whether neither git nor DVC has a file, as it is, in the last commit."""
    if (project.folder / path).is_symlink() or not (project.folder / path).exists():
        return True  # git has a link, but not what it leads to
    pathspec = literal_pathspec(path)
    if git_paths(project.folder, "ls-files", "-z", "--", pathspec):
        return bool(git_paths(project.folder, "diff", "--name-only", "-z", "HEAD", "--", pathspec))
    return committed_md5(project, path) != file_md5(project.folder / path)


def lacking_code(project: Project) -> list[Path]:
    """Return the files in the folders of code in dvc.yaml that neither commit nor diff has."""
    dependencies = {path for listed in stage_dependencies(project).values() for path in listed}
    code = sorted(filter(is_code, dependencies))
    if not code:  # git would list all files
        return []
    new = git_paths(project.folder, "ls-files", "--others", "-z", "--", *code)
    options = ("--name-only", "-z", "--relative")
    no_diff = f":(exclude,glob){DIFFED_CODE}"
    changed = git_paths(project.folder, "diff", *options, "HEAD", "--", *code, no_diff)
    ignored = read_dvcignore(project.folder / ".dvcignore")
    return [Path(path) for path in (*new, *changed) if not ignored.match_file(path)]


def is_code(dependency: str) -> bool:
    """Return whether a dependency in dvc.yaml is code, and not data or a param's value."""
    return not dependency.startswith(("$", "data/", "metrics/"))


def lacking_modules(project: Project) -> list[Path]:
    """Return the modules that this process has imported from the project, but git lacks.

    In a temporary copy, Python also finds the modules in the project's root.
    """
    folder = project.folder.resolve()
    tracked = {folder / path for path in git_paths(folder, "ls-files", "-z")}
    imported = imported_files({folder, project.root})
    return [
        path.relative_to(folder) if path.is_relative_to(folder) else path
        for path in sorted(imported - tracked)
    ]


def imported_files(folders: set[Path]) -> set[Path]:
    """Return the files in folders that this process has imported, but no installed packages."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed = [Path(place).resolve() for place in places]
    # Attributes of a module that is loaded lazily would load it.
    modules = tuple(sys.modules.values())
    names = [getattr(module, "__dict__", {}).get("__file__") for module in modules]
    # Most are installed, and resolving thousands of paths would take a second.
    prefixes = tuple(f"{place}{os.sep}" for place in places)
    files = {Path(name).resolve() for name in names if name and not name.startswith(prefixes)}
    return {
        file
        for file in files
        if any(map(file.is_relative_to, folders)) and not any(map(file.is_relative_to, installed))
    }


def shown_path(path: Path) -> str:
    """Return a path whose name, which need not be UTF-8, can be printed and logged."""
    return os.fsencode(path).decode(errors="replace")


def describe_content(path: Path) -> str:
    """Return what `UncommittedChanges.files` says of a file."""
    if path.is_file():
        return f"md5 {file_md5(path)}"
    return "a folder" if path.is_dir() else "deleted"


def shorten_tag(text: str) -> str:
    """Return the value of a tag, which says so if it was cut."""
    ending = "… and more"
    if len(text) <= MAX_TAG_CHARACTERS:
        return text
    return f"{text[: MAX_TAG_CHARACTERS - len(ending)]}{ending}"


def provenance_tags(project: Project, changes: UncommittedChanges) -> dict[str, str]:
    """Return tags of the commit, what the run lacks, the machine and DVC's experiment."""
    tags: dict[str, str] = {**machine_tags(), CORES: str(usable_cores())}
    commit = git(project.folder, "rev-parse", "HEAD")
    if commit:
        tags[COMMIT] = commit
    unrecorded = changes.describe(with_md5=True)
    if unrecorded:
        tags[UNRECORDED] = shorten_tag(unrecorded)
    remotes = git(project.folder, "remote").splitlines()
    if remotes:
        tags[REPOSITORY] = redact(git(project.folder, "remote", "get-url", remotes[0]))
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags[DVC_EXPERIMENT] = experiment
        tags[DVC_BASELINE] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return tags
