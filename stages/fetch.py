"""Stage 1: IMDB as Keras publishes it, or a synthetic set, as plain typed arrays.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see `stages.reviews`) and
`word_index.json`, each word's frequency rank.
"""

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

from stages import command, files, synthetic
from stages.command import UserError
from stages.params import Fetch, flatten, load_params
from stages.reviews import write_reviews
from stages.sequences import Reviews

FOLDER = files.DATA / "fetch"
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
        knock(params.url, params.timeout)
        download(digests, params)
    except requests.RequestException as error:
        raise Unreachable(_ways_on(params, _root_cause(error))) from None
    except ValueError as error:  # pooch's error for a digest that does not match
        raise UserError(f"{params.url} does not hold what params.yaml pins: {error}") from None
    except OSError as error:
        raise UserError(f"{cache_folder()} cannot be used ({error}). Set KERAS_HOME.") from None
    return paths


def knock(url: str, seconds: float) -> None:
    """Raise a `requests` error unless the server answers in time, however many addresses it has.

    The time-out of a request holds for each address of a host, one after the other.
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

    registry = {name: f"sha256:{digest}" for name, digest in digests.items()}
    cache = pooch.create(
        cache_folder(), params.url, registry=registry, retry_if_failed=params.retries
    )
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=params.timeout)
    for name in registry:
        cache.fetch(name, downloader=downloader)


def _root_cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"


def _ways_on(params: Fetch, cause: str) -> str:
    return f"""{cache_folder()} holds no good copy of IMDB, and {params.url} gives none
  ({cause})
Ways on:
  - put {ARCHIVE} and {WORD_INDEX} (digests in params.yaml) into {cache_folder()};
  - name a mirror that holds both in params.yaml: fetch.url;
  - use the generated set instead: fetch.dataset: synthetic."""


def read_pinned(path: Path, digest: str) -> bytes:
    """Read a file whole and return its content if its SHA-256 is `digest`.

    Raises:
        UserError: it is another; nothing was interpreted.
    """
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise UserError(
            f"{path} has SHA-256 {actual}, params.yaml says {digest}. Delete it to fetch it anew."
        )
    return content


def parse_archive(content: bytes) -> dict[str, NDArray[Any]]:
    """Read the four arrays of `imdb.npz` through `ArrayUnpickler`.

    Returns:
        `x_train` and `x_test`, object arrays of lists of ranks, `y_train` and `y_test`, int64.

    Raises:
        UserError: it is no such archive, or holds a pickle that needs more.
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


def imdb(params: Fetch) -> tuple[Reviews, Reviews, dict[str, int]]:
    """Obtain IMDB and return its training reviews, test reviews and word index."""
    paths = obtain(params)
    arrays = parse_archive(read_pinned(paths[ARCHIVE], params.archive_sha256))
    index: dict[str, int] = json.loads(read_pinned(paths[WORD_INDEX], params.word_index_sha256))
    train = Reviews.from_lists(arrays["x_train"].tolist(), arrays["y_train"])
    test = Reviews.from_lists(arrays["x_test"].tolist(), arrays["y_test"])
    return train, test, index


def shaping_params(params: Fetch) -> dict[str, Any]:
    """The parameters that the data depends on, by their dotted names.

    Where it was downloaded from is not among them: the digest says what it is.
    """
    flat = flatten(params, "fetch")
    shaping = (
        "fetch.synthetic." if params.dataset == "synthetic" else ("fetch.archive_", "fetch.word_")
    )
    return {
        name: value
        for name, value in flat.items()
        if name == "fetch.dataset" or name.startswith(shaping)
    }


def main() -> None:
    params = load_params().fetch
    if params.dataset == "imdb":
        train, test, index = imdb(params)
    else:
        train, test, index = synthetic.generate(params.synthetic)
    with files.replaced(FOLDER) as folder:
        write_reviews(folder, "train", train)
        write_reviews(folder, "test", test)
        files.write_json(folder / "word_index.json", index)
        files.write_about(folder, shaping_params(params))
    print(f"{params.dataset}: {len(train):,} training and {len(test):,} test reviews")


if __name__ == "__main__":
    command.run("fetch", main)
