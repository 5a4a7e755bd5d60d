"""Files are brought from elsewhere whole, checked, or not at all."""

import hashlib
import os
import runpy
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tqdm import tqdm

from sentiment.data import imdb, rows
from sentiment.data.dataset import Fetch
from sentiment.errors import UserError
from tests.project import free_port
from tests.sentiment.data.test_imdb import INDEX, archive
from tests.sentiment.data.test_rows import COLUMNS, GOOD, made, write
from tests.services import PASSWORD, web
from workflow import downloads, signals
from workflow.downloads import Unreachable
from workflow.params import Params

NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def mirror(in_tmp_path: Path) -> Iterator[str]:
    """The address of a web server that has both files, in the folder `web`."""
    (in_tmp_path / "web").mkdir()
    (in_tmp_path / "web" / imdb.ARCHIVE).write_bytes(archive())
    (in_tmp_path / "web" / imdb.WORD_INDEX).write_bytes(INDEX)
    with web(in_tmp_path / "web") as server:
        yield f"{server}/"


@pytest.fixture
def cache(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras' dataset cache, in a folder that is not there yet."""
    monkeypatch.setenv("KERAS_HOME", str(in_tmp_path / "keras"))
    return in_tmp_path / "keras" / "datasets"


@pytest.fixture
def params(default_params: Params) -> Fetch:
    """Settings for the small files."""
    return default_params.fetch.model_copy(
        update={
            "url": NOWHERE,
            "retries": 0,
            "archive_sha256": hashlib.sha256(archive()).hexdigest(),
            "word_index_sha256": hashlib.sha256(INDEX).hexdigest(),
        }
    )


def test_good_copy_in_the_cache_needs_no_network(cache: Path, params: Fetch) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(archive())
    (cache / imdb.WORD_INDEX).write_bytes(INDEX)
    assert downloads.imdb(params) == (archive(), INDEX)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_the_cache_lacks_or_has_damaged_is_downloaded_into_it(
    cache: Path, params: Fetch, mirror: str, damaged: bool
) -> None:
    if damaged:
        cache.mkdir(parents=True)
        (cache / imdb.ARCHIVE).write_bytes(archive()[:100])
    downloads.imdb(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()
    assert sorted(path.name for path in cache.iterdir()) == [imdb.ARCHIVE, imdb.WORD_INDEX]


def test_tampered_download_is_refused_and_not_kept(cache: Path, params: Fetch, mirror: str) -> None:
    Path("web", imdb.ARCHIVE).write_bytes(archive() + b"tampered")
    with pytest.raises(UserError, match=r"does not have what params\.yaml pins") as raised:
        downloads.imdb(params.model_copy(update={"url": mirror}))
    assert not isinstance(raised.value, Unreachable)
    assert list(cache.iterdir()) == []


def test_out_of_reach_fails_within_seconds_and_names_cause_and_ways_on(
    cache: Path, params: Fetch
) -> None:
    """A damaged copy stays where no better one can be had."""
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(b"mine")
    begun = time.monotonic()
    with pytest.raises(Unreachable) as raised:
        downloads.imdb(params)
    assert time.monotonic() - begun < 10
    message = str(raised.value)
    for part in ("Connection refused", str(cache), "fetch.url", "fetch.dataset: synthetic"):
        assert part in message
    assert (cache / imdb.ARCHIVE).read_bytes() == b"mine"


def test_missing_on_the_mirror_is_named(cache: Path, params: Fetch, mirror: str) -> None:
    with pytest.raises(Unreachable, match="404"):
        downloads.imdb(params.model_copy(update={"url": f"{mirror}elsewhere/"}))
    assert not (cache / imdb.ARCHIVE).exists()


@pytest.mark.usefixtures("cache")
def test_silent_server_is_given_up_after_the_time_out_however_many_addresses_it_has(
    params: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "head", lambda _, timeout: time.sleep(4 * timeout))
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="no answer within 1 seconds"):
        downloads.imdb(params.model_copy(update={"timeout": 1}))
    assert time.monotonic() - begun < 3


def test_cache_that_cannot_be_written_is_one_message(
    in_tmp_path: Path, params: Fetch, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("KERAS_HOME", str(in_tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be used.*Set KERAS_HOME"):
        downloads.imdb(params.model_copy(update={"url": mirror}))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("is_set", [False, True])
def test_cache_is_found_as_keras_finds_it(
    is_set: bool, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src import api_export
    from keras.src.backend import config

    monkeypatch.setenv("HOME", str(in_tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if is_set:
        monkeypatch.setenv("KERAS_HOME", f"{in_tmp_path}/keras")
    # Keras looks when it is imported: run that module again, without its second registration
    monkeypatch.setattr(api_export, "keras_export", lambda *_: lambda exported: exported)
    keras = runpy.run_path(config.__file__)["keras_home"]()
    assert str(downloads.cache_folder()) == f"{keras}/datasets"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a web server that has the files of a folder."""
    with web(tmp_path) as server:
        yield server


def refused(address: str) -> str:
    """Why no file at an address can be used."""
    with pytest.raises(UserError) as raised, downloads.local(address):
        pass
    return str(raised.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_at_an_address_is_read(tmp_path: Path, address: str, kind: str) -> None:
    made(tmp_path, kind)
    with downloads.local(f"{address}/reviews.{kind}?signature=secret") as source:
        labelled = list(rows.read(source, COLUMNS, 1000))
    assert [(row.text, row.label) for row in labelled] == GOOD
    assert labelled[0].place.startswith(f"{address}/reviews.{kind}, row 1")
    assert source.name == f"{address}/reviews.{kind}"  # without the query
    assert not source.path.exists()


def test_a_password_is_found_in_netrc(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    made(tmp_path / "private", "csv")
    where = f"{address}/private/reviews.csv"
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "401" in refused(where)
    write(tmp_path / "netrc", f"machine 127.0.0.1 login ann password {PASSWORD}\n").chmod(0o600)
    with downloads.local(where) as source:
        assert len(list(rows.read(source, COLUMNS, 1000))) == len(GOOD)


def test_what_cannot_be_used_is_named_without_the_query_of_its_address(
    tmp_path: Path, address: str
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for wrong, message in (
        (f"{tmp_path}/there.csv", f"There is no file {tmp_path}/there.csv"),
        (f"{tmp_path}/", "There is no file"),
        (f"{address}/a.csv", f"There is no file {address}/a.csv"),
        (f"{address}/a.xlsx?signature=secret", "a.xlsx ends in none of"),
        (f"{address}/private/a.csv?signature=secret", "a.csv cannot be read: 401"),
        (f"{address}/signed/a.csv?signature=secret", "a.csv cannot be read: 401"),
        (f"{away}/a.csv", "/a.csv cannot be read: Cannot connect to host"),
        ("gopher://example.org/a.csv", "a.csv cannot be read: Protocol not known: gopher"),
    ):
        said = refused(wrong)
        assert message in said
        assert "secret" not in said


@pytest.mark.usefixtures("same_handlers")
def test_a_signal_ends_a_copy(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "large.csv", b"text,label\n" * 2_000_000)

    def killed(bar: Any, _: int) -> None:
        assert bar.n == 0, "it went on"
        bar.n = 1
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(tqdm, "update", killed)
        with (
            pytest.raises(signals.Interrupted, match="SIGTERM"),
            signals.raising(),
            downloads.local(f"{address}/large.csv"),
        ):
            pass
    made(tmp_path, "csv")
    with downloads.local(f"{address}/reviews.csv") as source:  # another is copied all the same
        assert len(list(rows.read(source, COLUMNS, 1000))) == len(GOOD)
