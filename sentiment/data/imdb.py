"""IMDB as Keras publishes it: found in Keras' cache or downloaded, checked, and parsed."""

import hashlib
import io
import json
import os
import pickle
import queue
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sentiment import files, process
from sentiment.data.dataset import Fetch
from sentiment.errors import UserError
from sentiment.serving.sequences import Reviews

ARCHIVE = "imdb.npz"
WORD_INDEX = "imdb_word_index.json"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# NumPy 2 moved the function that the file, made with NumPy 1, names.
ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
}


class Unreachable(UserError):
    """IMDB is neither in Keras' cache nor to be had from `fetch.url`."""


class ArrayUnpickler(pickle.Unpickler):
    """Admits what a pickled NumPy array needs and nothing else.

    The method is that of the Python documentation of `pickle`, "Restricting Globals".
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return super().find_class(*ADMITTED[module, name])


def cache_folder() -> Path:
    """Keras' own dataset cache, found by Keras' rule."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME") or home / ".keras") / "datasets"


def obtain(params: Fetch) -> dict[str, Path]:
    """Return good copies of both files in Keras' cache, downloading what is not there.

    A download is written beside its place and moved in once its digest is right.

    Raises:
        Unreachable: a file is not there and cannot be downloaded.
        UserError: what was downloaded is not what `params.yaml` pins, or cannot be stored.
    """
    digests = {ARCHIVE: params.archive_sha256, WORD_INDEX: params.word_index_sha256}
    paths = {name: cache_folder() / name for name in digests}
    if all(paths[name].is_file() and files.sha256(paths[name]) == digests[name] for name in paths):
        return paths
    import requests

    try:
        require_answer(params.url, params.timeout)
        download(digests, params)
    except requests.RequestException as error:
        raise Unreachable(_unreachable(params, _root_cause(error))) from None
    except ValueError as error:  # pooch's error for a digest that does not match
        raise UserError(f"{params.url} does not have what params.yaml pins: {error}") from None
    except OSError as error:
        raise UserError(f"{cache_folder()} cannot be used ({error}). Set KERAS_HOME.") from None
    return paths


def require_answer(url: str, seconds: float) -> None:
    """Raise a `requests` error unless the server answers in time, however many addresses it has.

    The time-out of a request applies to each address of a host, one after the other.
    """
    import requests

    answers: queue.Queue[requests.RequestException | None] = queue.Queue()

    def ask() -> None:
        try:
            requests.head(url, timeout=seconds)
            answers.put(None)
        except requests.RequestException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        error = answers.get(timeout=seconds)
    except queue.Empty:
        error = requests.Timeout(f"no answer within {seconds:g} seconds")
    if error is not None:
        raise error


def download(digests: dict[str, str], params: Fetch) -> None:
    """Download into Keras' cache what is not there with the right digest."""
    import pooch
    from tqdm import tqdm

    class Progress(tqdm):  # type: ignore[misc]
        def update(self, n: float | None = 1) -> None:
            process.raise_noted()
            super().update(n)

        def __bool__(self) -> bool:  # tqdm has none before pooch knows the total
            return True

    registry = {name: f"sha256:{digest}" for name, digest in digests.items()}
    cache = pooch.create(
        cache_folder(), params.url, registry=registry, retry_if_failed=params.retries
    )
    for name in registry:
        progress = Progress(desc=name, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=params.timeout)
        cache.fetch(name, downloader=downloader)


def _root_cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"


def _unreachable(params: Fetch, cause: str) -> str:
    return f"""{cache_folder()} has no good copy of IMDB, and the download from {params.url}
failed ({cause}). What you can do:
  - put {ARCHIVE} and {WORD_INDEX} (digests in params.yaml) into {cache_folder()};
  - name a mirror that has both in params.yaml: fetch.url;
  - use the generated set instead: fetch.dataset: synthetic."""


def read_pinned(path: Path, digest: str) -> bytes:
    """Read a complete file and return its content if its SHA-256 is `digest`.

    Raises:
        UserError: it is another; nothing was interpreted.
    """
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise UserError(
            f"{path} has SHA-256 {actual}, params.yaml says {digest}. Delete it to get it again."
        )
    return content


def parse_archive(content: bytes) -> dict[str, NDArray[Any]]:
    """Read the four arrays of `imdb.npz` through `ArrayUnpickler`.

    Returns:
        `x_train` and `x_test`, object arrays of lists of ranks, `y_train` and `y_test`, int64.

    Raises:
        UserError: it is no such archive, or contains a pickle that needs more.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: _parse_array(archive, name) for name in ARRAYS}
    except (zipfile.BadZipFile, KeyError, ValueError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{ARCHIVE} is not the archive that Keras publishes: {error}") from None


def _parse_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    file: BinaryIO = io.BytesIO(archive.read(f"{name}.npy"))
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{name}.npy has format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        array: NDArray[Any] = ArrayUnpickler(file).load()
        return array
    return np.frombuffer(file.read(), dtype).reshape(shape)


def load(params: Fetch) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Obtain IMDB and return its training reviews, test reviews and word index."""
    paths = obtain(params)
    arrays = parse_archive(read_pinned(paths[ARCHIVE], params.archive_sha256))
    index: dict[str, int] = json.loads(read_pinned(paths[WORD_INDEX], params.word_index_sha256))
    train = Reviews.from_lists(arrays["x_train"].tolist(), arrays["y_train"])
    test = Reviews.from_lists(arrays["x_test"].tolist(), arrays["y_test"])
    return train, test, index
