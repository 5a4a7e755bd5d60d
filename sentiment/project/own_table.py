"""The tables of one's own texts: their paths in params.yaml, and whether git and DVC have them."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from sentiment.data.rows import Columns
from sentiment.params import FetchParams
from sentiment.project.git import git
from sentiment.project.paths import Project


class TableOptions(NamedTuple):
    """The options of a table of one's own texts. None: it is not given.

    Attributes:
        text: the column of the texts.
        label: the column of the labels.
        id: the column of the ids, or "" for none.
        test: the path of the table of the test set, see `project_path`.
        positive: the positive label of two, or "" for the second.
    """

    text: str | None
    label: str | None
    id: str | None
    test: str | None
    positive: str | None


def keep_present(
    project: Project, fetch: FetchParams, file: Path, given: TableOptions
) -> TableOptions:
    """Return the options of a table, which may have grown since params.yaml named it.

    If params.yaml names the same table, options that are not given have the values there.
    """
    table = fetch.table
    if fetch.dataset != "table" or table.train != project_path(project, file):
        return given
    present = TableOptions(table.text, table.label, table.id, table.test, table.positive)
    pairs = zip(given, present, strict=True)
    return TableOptions(*(old if new is None else new for new, old in pairs))


def table_changes(
    project: Project, file: Path, columns: Columns, options: TableOptions
) -> dict[str, str | None]:
    """Return the params of a table by dotted name.

    Args:
        columns: the columns of the texts and the labels.
    """
    train = project_path(project, file)
    return {
        "fetch.dataset": "table",
        "fetch.table.train": train,
        "fetch.table.test": options.test or train,
        "fetch.table.text": columns.text,
        "fetch.table.label": columns.label,
        "fetch.table.id": options.id or "",
        "fetch.table.positive": options.positive or "",
    }


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
