"""The tables of one's own texts: their paths in params.yaml, and whether git and DVC have them."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from sentiment.data.rows import Columns
from sentiment.params import FetchParams
from sentiment.project.files.paths import DATASET_FILE, Project
from sentiment.project.files.records import FetchedDataset, read_record
from sentiment.project.versioning.git import git, literal_pathspec


class TableOptions(NamedTuple):
    """The options of a table of one's own texts. None: it is not given.

    Attributes:
        text: the column of the texts.
        label: the column of the labels.
        id: the column of the ids, or "" for none.
        test: the path of the table of the test set, from the project's root.
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
    """Return the tables that a dataset reads, from the project's root."""
    if fetch.dataset != "table":
        return []
    return [Path(table) for table in dict.fromkeys([fetch.table.train, fetch.table.test])]


def read_label_names(project: Project, fetch: FetchParams) -> list[str] | None:
    """Return the names of the labels of a table, or None if there is no such table.

    They are taken from `data/fetch` if it has this dataset, because reading a table takes long.

    Raises:
        UserError: the table cannot be used.
    """
    from sentiment.data.dataset import load_dataset  # imports pandas, which takes a second

    record_file = project.fetched / DATASET_FILE
    if record_file.exists():
        record = read_record(record_file, FetchedDataset)
        if record.fetch == fetch.used():
            return record.label_names
    if not all((project.folder / table).is_file() for table in table_paths(fetch)):
        return None
    return load_dataset(fetch).label_names


def named_files(fetch: FetchParams, vectors: str) -> list[Path]:
    """Return the files that the params name and that the stages read."""
    return [*table_paths(fetch), *([Path(vectors)] if vectors else [])]


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
    pattern = literal_pathspec(table)
    listed = git(project.folder, "ls-files", "--", pattern)
    return bool(listed) and not git(project.folder, "ls-files", "--others", "--", pattern)


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
