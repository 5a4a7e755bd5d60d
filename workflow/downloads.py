"""Files from elsewhere: IMDB as Keras publishes it, and tables at addresses that fsspec knows."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sentiment.data.imdb import ARCHIVE, WORD_INDEX
from sentiment.data.params import FetchParams, TableParams, file_name
from sentiment.data.rows import Source
from sentiment.errors import UserError, first_line, redacted
from workflow import files

QUIET_SECONDS = 60  # without a byte from an address, before that is given up


class Unreachable(UserError):
    """IMDB is neither in Keras' cache nor to be had from `fetch.url`."""


def cache_folder() -> Path:
    """Keras' own dataset cache."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def imdb(params: FetchParams) -> tuple[bytes, bytes]:
    """The content of the archive and the word index, downloaded where Keras' cache lacks them.

    A download is written beside its place and moved in once its digest is right. Raises Unreachable
    where a file is not to be had, and UserError where it is not what `params.yaml` pins.
    """
    import pooch
    import requests

    digests = {ARCHIVE: params.archive_sha256, WORD_INDEX: params.word_index_sha256}
    folder = cache_folder()
    cache = pooch.create(folder, params.url, registry=digests, retry_if_failed=params.retries)
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=params.timeout)
    try:
        for name in digests:
            cache.fetch(name, downloader=download)
    except requests.RequestException as error:
        raise Unreachable(_unreachable(params, first_line(error))) from None
    except ValueError as error:  # pooch's error for a digest that does not match
        raise UserError(f"{params.url} does not have what params.yaml pins: {error}") from None
    return (folder / ARCHIVE).read_bytes(), (folder / WORD_INDEX).read_bytes()


def _unreachable(params: FetchParams, cause: str) -> str:
    return f"""{cache_folder()} has no good copy of IMDB, and the download from {params.url}
failed ({cause}). What you can do:
  - put {ARCHIVE} and {WORD_INDEX} (digests in params.yaml) into {cache_folder()};
  - name a mirror that has both in params.yaml: fetch.url;
  - use the generated set instead: fetch.dataset: synthetic."""


@contextmanager
def tables(params: TableParams) -> Iterator[tuple[list[Source], dict[str, str]]]:
    """The files of `fetch.table`, see `local`, and their SHA-256 by the parameter's name.

    A UserError is raised where both have the same content.
    """
    addresses = {"train": params.train, "test": params.test}
    if params.test == params.train:
        del addresses["test"]
    with _all_local(addresses.values()) as (sources, digests):
        if len(set(digests)) < len(digests):
            raise UserError(
                f"{params.test} has the same content as {params.train}: name it in the same way, "
                "and a share of it is set aside."
            )
        yield sources, dict(zip(addresses, digests, strict=True))


@contextmanager
def added(place: str) -> Iterator[tuple[list[Source], str]]:
    """The tables of `fetch.add`, see `local`, and one SHA-256 of all."""
    with _all_local(files.tables(place)) as (sources, digests):
        yield sources, hashlib.sha256("".join(digests).encode()).hexdigest()


@contextmanager
def _all_local(addresses: Iterable[str]) -> Iterator[tuple[list[Source], list[str]]]:
    with ExitStack() as stack:
        sources = [stack.enter_context(local(address)) for address in addresses]
        yield sources, [files.sha256(source.path) for source in sources]


@contextmanager
def local(address: str) -> Iterator[Source]:
    """The file on this machine; what is at an address is copied for the length of the block.

    A UserError is raised where there is no such file, or the address cannot be read.
    """
    if "://" not in address:
        if not Path(address).is_file():
            raise UserError(f"There is no file {address}.")
        yield Source(Path(address), address)
        return
    with tempfile.TemporaryDirectory() as folder:
        shown = redacted(re.split("[?#]", address)[0])  # the rest may be a signature
        source = Source(Path(folder, file_name(address)), shown)
        assert source.extension  # or UserError, before anything is copied
        _download(address, source)
        yield source


def _download(address: str, source: Source) -> None:
    import aiohttp
    import fsspec

    # `~/.netrc` and the proxies of the environment count, and large files take their time
    timeout = aiohttp.ClientTimeout(sock_connect=QUIET_SECONDS, sock_read=QUIET_SECONDS)
    http = {"client_kwargs": {"trust_env": True, "timeout": timeout}}
    try:
        options = http if address.startswith(("http://", "https://")) else {}
        system, name = fsspec.url_to_fs(address, **options)
        system.get_file(name, str(source.path))
    except FileNotFoundError:
        raise UserError(f"There is no file {source.name}.") from None
    except Exception as error:  # each kind of address has errors of its own
        reason = first_line(error) or type(error).__name__
        raise UserError(f"{source.name} cannot be read: {reason}") from None
