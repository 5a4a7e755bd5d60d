"""The tables of one's own texts: their paths in params.yaml, and whether git and DVC have them."""

import os
import shlex
from pathlib import Path

from sentiment.params import FetchParams
from sentiment.project.git import git
from sentiment.project.paths import Project


def project_path(project: Project, path: Path) -> str:
    """Return a path from the project's root, or the absolute path of a file elsewhere."""
    absolute = Path(os.path.normpath(Path.cwd() / path))  # `resolve` would follow symbolic links
    is_inside = absolute.is_relative_to(project.root)
    return (absolute.relative_to(project.root) if is_inside else absolute).as_posix()


def table_paths(fetch: FetchParams) -> list[Path]:
    """Return the tables that a dataset reads."""
    if fetch.dataset != "table":
        return []
    return [Path(table) for table in dict.fromkeys([fetch.table.train, fetch.table.test])]


def find_pointer(project: Project, table: Path) -> Path | None:
    """Return the `.dvc` file by which DVC tracks a table, or a folder that it is in."""
    for tracked in (table, *table.parents):
        pointer = project.folder / f"{tracked}.dvc"
        if tracked.name and pointer.is_file():
            return pointer
    return None


def is_tracked(project: Project, table: Path) -> bool:
    """Return whether DVC or git tracks a table, or all files of a folder."""
    if find_pointer(project, table) is not None:
        return True
    pattern = git_pathspec(table)
    listed = git(project.folder, "ls-files", "--", pattern)
    return bool(listed) and not git(project.folder, "ls-files", "--others", "--", pattern)


def git_pathspec(path: Path) -> str:
    """Return the pattern by which git finds this path alone."""
    return f":(literal){path}"


def tracking_advice(project: Project, fetch: FetchParams) -> list[str]:
    """Return what to do about each table that neither git nor DVC tracks."""
    return [
        f"{path} is outside the project, so neither git nor DVC can keep it. Copy it here."
        if path.is_absolute()
        else f"Neither git nor DVC tracks {path}, so `dvc exp run --temp` will not find it: "
        f"dvc add {shlex.quote(str(path))}"
        for path in table_paths(fetch)
        if not is_tracked(project, path)
    ]
