"""Files from elsewhere: IMDB as Keras publishes it, and tables at URLs that fsspec can read."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sentiment.data import imdb
from sentiment.data.imdb import ARCHIVE, WORD_INDEX
from sentiment.data.params import TableParams, file_name
from sentiment.data.rows import Source
from sentiment.errors import UserError, first_line, redact
from workflow import files

IMDB_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
IMDB_TIMEOUT = 5  # seconds without a response, after which an attempt to download IMDB fails
IMDB_RETRIES = 1  # bridges a brief failure; with more, the error message would come late
MAX_SILENCE = 60  # seconds without a byte from a server, after which a download fails


class ImdbUnavailableError(UserError):
    """IMDB is not in Keras' cache and cannot be downloaded."""


def cache_folder() -> Path:
    """Return Keras' own dataset cache."""
    keras_home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(keras_home, "datasets")


def fetch_imdb() -> tuple[bytes, bytes]:
    """Return the content of IMDB's archive and of its word index.

    A file that Keras' cache lacks is downloaded into it. A download gets its final name only after
    its digest was verified.

    Raises:
        ImdbUnavailableError: a file cannot be downloaded.
        UserError: a downloaded file differs from the one that Keras published.
    """
    import pooch
    import requests

    folder = cache_folder()
    cache = pooch.create(folder, IMDB_URL, registry=imdb.SHA256, retry_if_failed=IMDB_RETRIES)
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=IMDB_TIMEOUT)
    try:
        for name in imdb.SHA256:
            cache.fetch(name, downloader=download)
    except requests.RequestException as error:
        raise _unavailable_error(first_line(error)) from None
    except ValueError as error:  # pooch raises it if a digest does not match
        raise UserError(
            f"{IMDB_URL} does not have the files that Keras published ({first_line(error)}). "
            f"Put good copies of {ARCHIVE} and {WORD_INDEX} into {folder}."
        ) from None
    return (folder / ARCHIVE).read_bytes(), (folder / WORD_INDEX).read_bytes()


def _unavailable_error(cause: str) -> ImdbUnavailableError:
    folder = cache_folder()
    return ImdbUnavailableError(
        f"{folder} does not have IMDB, and the download from {IMDB_URL} failed ({cause}). "
        f"You can:\n"
        f"  - set HTTPS_PROXY, if this machine is behind a proxy\n"
        f"  - put {ARCHIVE} and {WORD_INDEX} into {folder} yourself\n"
        f"  - use the generated dataset instead: set fetch.dataset to synthetic"
    )


@contextmanager
def local_tables(params: TableParams) -> Iterator[tuple[list[Source], dict[str, str]]]:
    """Yield the files of `fetch.table`, and their SHA-256 by `train` and `test`.

    Raises:
        UserError: a file cannot be read, see `local_copy`, or both files have the same content.
    """
    tables = {"train": params.train}
    if params.test != params.train:
        tables["test"] = params.test
    with _local_copies(tables.values()) as (sources, digests):
        if len(set(digests)) < len(digests):
            raise UserError(
                f"{params.train} and {params.test} have the same content. To use a share of one "
                f"file as the test set, set fetch.table.test to {params.train}."
            )
        yield sources, dict(zip(tables, digests, strict=True))


@contextmanager
def local_added_tables(path_or_url: str) -> Iterator[tuple[list[Source], str]]:
    """Yield the tables of `fetch.added_texts`, and one SHA-256 of all of them.

    Raises:
        UserError: there is no file, or a file cannot be read, see `local_copy`.
    """
    with _local_copies(files.list_tables(path_or_url)) as (sources, digests):
        yield sources, hashlib.sha256("".join(digests).encode()).hexdigest()


@contextmanager
def _local_copies(paths_or_urls: Iterable[str]) -> Iterator[tuple[list[Source], list[str]]]:
    with ExitStack() as stack:
        sources = [stack.enter_context(local_copy(name)) for name in paths_or_urls]
        yield sources, [files.sha256(source.path) for source in sources]


@contextmanager
def local_copy(path_or_url: str) -> Iterator[Source]:
    """Yield a file on this machine. A file at a URL is copied, and removed after the block.

    Raises:
        UserError: the file does not exist or its name cannot be used, or the URL cannot be read.
    """
    try:
        path_or_url.encode()
    except UnicodeEncodeError:  # MLflow could not store the name
        raise UserError(f"The name {path_or_url!r} is not UTF-8. Rename the file.") from None
    if "://" not in path_or_url:
        if Path(path_or_url).is_dir():
            raise UserError(f"{path_or_url} is a folder. Name a file.")
        if not Path(path_or_url).is_file():
            raise UserError(f"There is no file {path_or_url}. Correct its path.")
        yield Source(Path(path_or_url), path_or_url)
        return
    with tempfile.TemporaryDirectory() as folder:
        name_for_messages = redact(re.split("[?#]", path_or_url)[0])  # a query may be a signature
        source = Source(Path(folder, file_name(path_or_url)), name_for_messages)
        source.check_extension()  # before anything is copied
        _download(path_or_url, source)
        yield source


def _download(url: str, source: Source) -> None:
    """Copy the file at a URL to the path of the source."""
    import aiohttp
    import fsspec

    arguments = {}
    if url.startswith(("http://", "https://")):
        # A large file may take as long as it needs. `trust_env`: use `~/.netrc` and the proxies.
        timeout = aiohttp.ClientTimeout(sock_connect=MAX_SILENCE, sock_read=MAX_SILENCE)
        arguments = {"client_kwargs": {"trust_env": True, "timeout": timeout}}
    try:
        file_system, name = fsspec.url_to_fs(url, **arguments)
        file_system.get_file(name, str(source.path))
    except FileNotFoundError:
        raise UserError(f"There is no file {source.name}. Correct its URL.") from None
    except Exception as error:  # each file system has exceptions of its own
        reason = first_line(error) or type(error).__name__
        raise UserError(f"{source.name} cannot be read: {reason}") from None
