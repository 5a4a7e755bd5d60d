"""Set the project up for a table of one's own texts: its columns, and whether git or DVC has it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sentiment.data.rows import MAX_NAMES_SHOWN, column_names
from sentiment.errors import UserError
from sentiment.params import FetchParams, TableParams, TrainParams
from workflow import files
from workflow.provenance import git

# Words by which a column is found.
TEXT_NAMES = ("text", "review", "sentence", "comment", "tweet", "message", "content", "body")
LABEL_NAMES = ("label", "sentiment", "stars", "rating", "category", "class", "topic")
WORD = re.compile(r"[a-z]+")
STEPS_FOR_A_NETWORK = 1000  # of the default network, below which a linear model is the better start


def table_params(
    present: TableParams,
    path: Path,
    test: Path | None,
    text: str | None,
    label: str | None,
    positive: str,
) -> TableParams:
    """Return the section `fetch.table` for a table.

    Args:
        present: the section as it is. Its other params stay.
        path: the table.
        test: the table of the test set. None: a share of `path`.
        text: the column of the texts. None: it is found by its name. `label` likewise.
        label: the column of the labels.
        positive: the positive label, see params.yaml.

    Raises:
        UserError: the file cannot be read, or a column must be named.
    """
    names = column_names(path)
    text = text or known_column([name for name in names if name != label], TEXT_NAMES)
    label = label or known_column([name for name in names if name != text], LABEL_NAMES)
    rest = [name for name in names if name not in (text, label)]
    if len(rest) == 1 and (text or label):
        text = text or rest[0]
        label = label or rest[0]
    if text is None:
        raise unclear_column(path, names, "text")
    if label is None:
        raise unclear_column(path, names, "label")
    train = project_path(path)
    changes = {
        "train": train,
        "test": project_path(test) if test else train,
        "text": text,
        "label": label,
        "positive": positive,
    }
    return TableParams.model_validate(present.model_dump() | changes)


def known_column(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the only column with a known name, or else the only one with a known word in its name.

    Upper and lower case are the same.
    """
    named = [name for name in names if name.lower() in known]
    with_word = [name for name in names if not set(WORD.findall(name.lower())).isdisjoint(known)]
    for matching in (named, with_word):
        if len(matching) == 1:
            return matching[0]
    return None


def unclear_column(path: Path, names: Sequence[str], use: str) -> UserError:
    """Return the error for a column that must be named.

    Args:
        path: the table.
        names: the names of its columns.
        use: the content of the column, text or label.
    """
    shown = ", ".join(map(repr, names[:MAX_NAMES_SHOWN])) or "none"
    return UserError(
        f"{path}: which column has the {use}s? Name it by --{use}. The columns are {shown}."
    )


def project_path(path: Path) -> str:
    """Return a path from the project's root, or the absolute path of a file elsewhere."""
    absolute = Path.cwd() / path
    root = files.root()
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def tables(fetch: FetchParams) -> list[str]:
    """Return the paths of the tables that a dataset reads."""
    paths = [fetch.table.train, fetch.table.test] if fetch.dataset == "table" else []
    if fetch.adds_texts:
        paths.append(fetch.added_texts)
    return list(dict.fromkeys(paths))


def untracked_tables(fetch: FetchParams) -> list[str]:
    """Return the tables of a dataset that neither git nor DVC tracks."""
    return [path for path in tables(fetch) if not is_tracked(Path(path))]


def changed_pointers(fetch: FetchParams) -> list[str]:
    """Return the files by which git knows the tables that DVC tracks, if they are not committed."""
    written = []
    for path in tables(fetch):
        written += [f"{path}.dvc", (Path(path).parent / ".gitignore").as_posix()]
    return [path for path in dict.fromkeys(written) if git("status", "--porcelain", "--", path)]


def is_tracked(path: Path) -> bool:
    """Return whether git or DVC tracks a file, or a folder that it is in."""
    by_dvc = any(Path(f"{each}.dvc").is_file() for each in (path, *path.parents) if each.name)
    return by_dvc or bool(git("ls-files", "--", str(path)))


def tracking_advice(paths: Iterable[str]) -> list[str]:
    """Return what to do about each file that neither git nor DVC tracks."""
    return [
        f"{path} is outside of the project, so neither git nor DVC can keep it. Copy it here."
        if Path(path).is_absolute()
        else f"Neither git nor DVC tracks {path}: dvc add {path}"
        for path in paths
    ]


def recommend_preset(texts: int) -> str:
    """Return which preset to start with for so many training texts, and why."""
    default = TrainParams()
    steps = int(default.epochs * texts * (1 - default.validation_split) / default.batch_size)
    if steps < STEPS_FOR_A_NETWORK:
        return (
            f"Start with `sentiment preset linear`: with {texts:,} training texts, the default "
            f"LSTM learns for only {steps:,} steps."
        )
    return (
        f"Start with the default LSTM, which learns for {steps:,} steps, and compare it with "
        "`sentiment preset linear`."
    )
