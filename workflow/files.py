"""Files that are written whole or not at all, and verified when they are read.

Every folder of `data/` has an `about.json` (see `workflow.about`) with the SHA-256 of its files.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.tokenizer import Reviews

DATA = Path("data")
STAGES = ("fetch", "pad", "train", "evaluate")
FETCH = DATA / "fetch"
PAD = DATA / "pad"
TRAIN = DATA / "train"
EVALUATE = DATA / "evaluate"
ABOUT_FILE = "about.json"
REVIEW_ARRAYS = [field.name for field in fields(Reviews)]


@dataclass(eq=False)
class DamagedError(UserError):
    """A file differs from what its stage wrote.

    The message is the path, the problem and the advice.
    """

    path: Path
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}. {self.advice}"


def root() -> Path:
    """Return the project's root, also for a stage that runs in a temporary copy of the project.

    DVC names the root in `DVC_ROOT`. `dvc exp run --temp` and queued experiments run elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` when the block succeeds.

    If the block fails, the process is killed or the machine loses power, `folder` stays as it was,
    or is put back by the next call.
    """
    partial = hidden_sibling(folder, "partial")
    replaced = hidden_sibling(folder, "old")
    if replaced.exists() and not folder.exists():  # killed between the two renames below
        replaced.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            fsync(path)
        shutil.rmtree(replaced, ignore_errors=True)
        if folder.exists():
            folder.rename(replaced)
        partial.rename(folder)
        fsync(folder.parent)
    finally:
        if replaced.exists() and not folder.exists():  # interrupted between the two renames
            replaced.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the path of a new file that replaces `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden_sibling(path, "partial")
    try:
        yield partial
        fsync(partial)
        partial.replace(path)
        fsync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all, and the folder that it is in."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def hidden_sibling(path: Path, suffix: str) -> Path:
    """Return a hidden path in the same folder, for a replacement or for what was replaced."""
    return path.with_name(f".{path.name}.{suffix}")


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder but `about.json`, by name."""
    paths = sorted(path for path in folder.iterdir() if path.name != ABOUT_FILE)
    return {path.name: sha256(path) for path in paths}


def list_tables(path_or_url: str) -> list[str]:
    """Return the path or URL of a table, or the paths of the visible files in a folder by name.

    Raises:
        UserError: the folder has no visible files.
    """
    folder = Path(path_or_url)
    if "://" in path_or_url or not folder.is_dir():
        return [path_or_url]
    paths = sorted(str(path) for path in folder.glob("[!.]*"))
    if not paths:
        raise UserError(f"{path_or_url} is a folder without tables. Add one, or name a file.")
    return paths


def write_json(path: Path, document: Any) -> None:
    """Write a document as readable JSON.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a stage.

    Raises:
        DamagedError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise missing_error(path) from None
    except (ValueError, RecursionError) as error:
        raise damaged_error(path, str(error)) from None


def read_digests(folder: Path) -> dict[str, str]:
    """Read the SHA-256 of each file of a folder from its `about.json`.

    Raises:
        DamagedError: `about.json` is missing or damaged.
    """
    document = read_json(folder / ABOUT_FILE)
    digests = document.get("files") if isinstance(document, dict) else None
    if not isinstance(digests, dict):
        raise damaged_error(folder / ABOUT_FILE, "it lists no files")
    return digests


def verified(path: Path, digests: Mapping[str, str] | None = None) -> Path:
    """Return the path of a stage's file, or of a copy of one, after comparing its SHA-256.

    Args:
        path: the file.
        digests: the expected SHA-256 by file name. By default, those in the folder's `about.json`.

    Raises:
        DamagedError: the file is missing or was changed.
    """
    if digests is None:
        digests = read_digests(path.parent)
    try:
        actual = sha256(path)
    except FileNotFoundError:
        raise missing_error(path) from None
    if actual != digests.get(path.name):
        raise damaged_error(path, f"its SHA-256 is {actual}, not {digests.get(path.name)}")
    return path


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array as `<name>.npy`, without pickle."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_arrays(folder: Path, names: Iterable[str]) -> list[NDArray[Any]]:
    """Map `<name>.npy` of a folder into memory, read-only, for each name.

    Raises:
        DamagedError: a file is missing or differs from what the stage wrote.
    """
    digests = read_digests(folder)
    arrays = []
    for name in names:
        path = verified(folder / f"{name}.npy", digests)
        try:
            arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
        except ValueError as error:
            raise damaged_error(path, str(error)) from None
    return arrays


def array_names(split: str) -> list[str]:
    """Return the names of the arrays that `fetch` writes of the `train` or the `test` set."""
    return [f"{split}_{name}" for name in REVIEW_ARRAYS]


def write_reviews(folder: Path, split: str, reviews: Reviews) -> None:
    """Write the reviews of the `train` or the `test` set into a folder, one file an array."""
    write_arrays(folder, {f"{split}_{name}": getattr(reviews, name) for name in REVIEW_ARRAYS})


def read_reviews(folder: Path, split: str) -> Reviews:
    """Read the reviews that `write_reviews` wrote.

    Raises:
        DamagedError: a file is missing or was changed.
    """
    return Reviews(*read_arrays(folder, array_names(split)))


def joint_digest(folder: Path, names: Iterable[str], rows: slice = slice(None)) -> str:
    """Return one SHA-256 for the same rows of several arrays, from `about.json`."""
    digests = read_digests(folder)
    text = "".join(digests[f"{name}.npy"] for name in names) + f"{rows.start}:{rows.stop}"
    return hashlib.sha256(text.encode()).hexdigest()


def short_digest(folder: Path, names: Iterable[str], rows: slice = slice(None)) -> str:
    """Return the first eight characters of `joint_digest`: MLflow's dataset digests are as long."""
    return joint_digest(folder, names, rows)[:8]


def missing_error(path: Path) -> DamagedError:
    """Return the error for a stage's file that does not exist."""
    return DamagedError(path, "is missing", "`dvc repro` makes it.")


def damaged_error(path: Path, reason: str) -> DamagedError:
    """Return the error for a stage's file that was changed."""
    problem = f"differs from what the stage wrote ({reason})"
    return DamagedError(path, problem, f"Delete {path.parent} and run `dvc repro`.")
