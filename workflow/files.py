"""Files that are complete or not there: written beside their place, and checked when read.

Each folder has an `about.json` with the parameters that shaped its content, those of the
stages before included, and the SHA-256 of every other file.
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
from workflow import signals

DATA = Path("data")
STAGES = ("fetch", "pad", "train", "evaluate")
FETCH, PAD, TRAIN, EVALUATE = (DATA / stage for stage in STAGES)
ABOUT = "about.json"
TEST_DATA = "data.test.sha256"  # tag or param: identity of the test part, however it is padded
REVIEWS = [field.name for field in fields(Reviews)]


@dataclass(eq=False)
class DamagedError(UserError):
    """A file is not as a stage wrote it; its path, problem and advice, a sentence, are the message.

    The advice is for a file of `data/`: who reads one from elsewhere says another.
    """

    path: Path
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}. {self.advice}"


def root() -> Path:
    """The project's root, also for a stage that DVC runs in a temporary copy of it.

    DVC names the root in `DVC_ROOT`; `dvc exp run --temp` and queued experiments run elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well.

    If the block fails, the process is killed or the machine loses power, `folder` is as it was.
    """
    partial, old = beside(folder, "partial"), beside(folder, "old")
    if old.exists() and not folder.exists():  # killed between the two moves below
        old.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            flush(path)
        with signals.deferred():
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
            flush(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def beside(path: Path, suffix: str) -> Path:
    """The hidden place beside a file or folder for what is to replace it, or was replaced."""
    return path.with_name(f".{path.name}.{suffix}")


def flush(path: Path) -> None:
    """Have the system write a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tables(place: str) -> list[str]:
    """The file at a path or an address, or those of a folder that are not hidden, by name."""
    return sorted(map(str, Path(place).glob("[!.]*"))) or [place]


def write_json(path: Path, document: Any) -> None:
    """Write a document as readable JSON; NaN and infinity are errors, JSON has neither."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array as `<name>.npy`, without pickle."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def write_about(folder: Path, params: Mapping[str, Any]) -> None:
    """Describe the files of a finished folder: the parameters behind them and their digests."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    write_json(folder / ABOUT, {"params": dict(params), "files": files})


def read_about(folder: Path) -> dict[str, Any]:
    """Read, as `read_json`, a folder's `{"params": {...}, "files": {name: SHA-256}}`."""
    about = read_json(folder / ABOUT)
    if not isinstance(about, dict) or not {"params", "files"} <= about.keys():
        raise damaged(folder / ABOUT, "params and files are not in it")
    return about


def read_json(path: Path) -> Any:
    """Read a JSON file of a stage; raises DamagedError where it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise missing(path) from None
    except ValueError as error:
        raise damaged(path, str(error)) from None


def read_arrays(folder: Path, names: Iterable[str]) -> list[NDArray[Any]]:
    """Map `<name>.npy` of a folder, for each name, into memory, read-only.

    Raises DamagedError where a file is missing or not what the stage wrote.
    """
    digests = read_about(folder)["files"]
    mapped = []
    for name in names:
        path = checked(folder / f"{name}.npy", digests)
        try:
            mapped.append(np.load(path, mmap_mode="r", allow_pickle=False))
        except ValueError as error:
            raise damaged(path, str(error)) from None
    return mapped


def arrays(part: str) -> list[str]:
    """The names of the arrays that `fetch` writes of the `train` or `test` part."""
    return [f"{part}_{name}" for name in REVIEWS]


def write_reviews(folder: Path, part: str, reviews: Reviews) -> None:
    """Write the `train` or `test` part into a folder, an array a file."""
    write_arrays(folder, {f"{part}_{name}": getattr(reviews, name) for name in REVIEWS})


def read_reviews(folder: Path, part: str) -> Reviews:
    """Read what `write_reviews` wrote; raises DamagedError as `read_arrays` does."""
    return Reviews(*read_arrays(folder, arrays(part)))


def joint_digest(folder: Path, names: Iterable[str], part: slice = slice(None)) -> str:
    """One SHA-256 of the same part of several arrays."""
    digests = read_about(folder)["files"]
    joined = "".join(digests[f"{name}.npy"] for name in names) + f"{part.start}:{part.stop}"
    return hashlib.sha256(joined.encode()).hexdigest()


def short_digest(folder: Path, names: Iterable[str], part: slice = slice(None)) -> str:
    """The same in eight characters, as MLflow's own digests are."""
    return joint_digest(folder, names, part)[:8]


def checked(path: Path, digests: Mapping[str, str] | None = None) -> Path:
    """Return the path of a stage's file, or a copy of one; DamagedError if that has changed.

    `digests` are the SHA-256 by name; None: what the folder's `about.json` says.
    """
    digests = read_about(path.parent)["files"] if digests is None else digests
    try:
        actual = sha256(path)
    except FileNotFoundError:
        raise missing(path) from None
    if actual != digests.get(path.name):
        raise damaged(path, f"its SHA-256 is {actual}, not {digests.get(path.name)}")
    return path


def missing(path: Path) -> DamagedError:
    """The error for a stage's file that is not there."""
    return DamagedError(path, "is missing", "`dvc repro` makes it.")


def damaged(path: Path, reason: str) -> DamagedError:
    """The error for a stage's file that is not as it was written."""
    problem = f"is not as the stage wrote it ({reason})"
    return DamagedError(path, problem, f"Delete {path.parent} and run `dvc repro`.")
