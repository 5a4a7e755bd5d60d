"""The tables of one's own texts: their paths in params.yaml, and whether git and DVC have them."""

import os
import shlex
from pathlib import Path

from sentiment.network.batches import count_steps
from sentiment.params import FetchParams, TrainParams
from workflow import files
from workflow.commands import git

STEPS_FOR_A_NETWORK = 1000  # with fewer, a linear model is the better start


def project_path(path: Path) -> str:
    """Return a path from the project's root, or the absolute path of a file elsewhere."""
    absolute = Path(os.path.normpath(Path.cwd() / path))  # `resolve` would follow symbolic links
    root = files.root()
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def table_paths(fetch: FetchParams) -> list[Path]:
    """Return the tables that a dataset reads."""
    paths = [fetch.table.train, fetch.table.test] if fetch.dataset == "table" else []
    if fetch.adds_texts:
        paths.append(fetch.added_texts)
    return [Path(path) for path in dict.fromkeys(paths)]


def find_pointer(table: Path) -> Path | None:
    """Return the `.dvc` file by which DVC tracks a table, or a folder that it is in."""
    for tracked in (table, *table.parents):
        pointer = Path(f"{tracked}.dvc")
        if tracked.name and pointer.is_file():
            return pointer
    return None


def is_tracked(table: Path) -> bool:
    """Return whether DVC or git tracks a table, or all files of a folder."""
    if find_pointer(table) is not None:
        return True
    listed = git("ls-files", "--", git_pathspec(table))
    return bool(listed) and not git("ls-files", "--others", "--", git_pathspec(table))


def git_pathspec(path: Path) -> str:
    """Return the pattern by which git finds this path alone."""
    return f":(literal){path}"


def tracking_advice(fetch: FetchParams) -> list[str]:
    """Return what to do about each table that neither git nor DVC tracks."""
    return [
        f"{path} is outside the project, so neither git nor DVC can keep it. Copy it here."
        if path.is_absolute()
        else f"Neither git nor DVC tracks {path}: dvc add {shlex.quote(str(path))}"
        for path in table_paths(fetch)
        if not is_tracked(path)
    ]


def changed_files(fetch: FetchParams) -> list[str]:
    """Return the changed tables and `.dvc` files that git tracks, or should track."""
    to_commit: list[Path] = []
    for table in table_paths(fetch):
        pointer = find_pointer(table)
        if pointer is not None:
            to_commit += [pointer, pointer.with_name(".gitignore")]
        elif is_tracked(table):
            to_commit.append(table)
    return [
        path.as_posix()
        for path in dict.fromkeys(to_commit)
        if git("status", "--porcelain", "--", git_pathspec(path))
    ]


def recommend_preset(texts: int, architecture: str) -> str:
    """Return which preset to start with for so many training texts, and why.

    Args:
        texts: number of training texts.
        architecture: the current `train.architecture`.
    """
    params = TrainParams()
    steps = count_steps(
        int(texts * (1 - params.validation_split)), params.batch_size, params.epochs
    )
    if steps < STEPS_FOR_A_NETWORK and architecture == "linear":
        return f"The linear model is the right start: {texts:,} training texts are few for an LSTM."
    if steps < STEPS_FOR_A_NETWORK:
        return (
            f"Start with `sentiment preset linear`: with {texts:,} training texts, the default "
            f"LSTM learns for only {steps:,} steps."
        )
    return (
        f"Start with `sentiment preset default`, an LSTM that learns for {steps:,} steps, and "
        "compare it with `sentiment preset linear`."
    )
