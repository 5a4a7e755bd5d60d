"""Files are brought from elsewhere whole, checked, or not at all."""

import hashlib
import http.server
import os
import runpy
import signal
import threading
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
def source(in_tmp_path: Path) -> dict[str, bytes]:
    """What the mirror serves; tests change it."""
    assert in_tmp_path.is_dir()
    return {imdb.ARCHIVE: archive(), imdb.WORD_INDEX: INDEX}


@pytest.fixture
def mirror(source: dict[str, bytes]) -> Iterator[str]:
    """A real HTTP server with both files."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = source.get(self.path.removeprefix("/"))
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


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


def test_nothing_is_interpreted_before_the_digest_matches(tmp_path: Path) -> None:
    path = tmp_path / imdb.ARCHIVE
    path.write_bytes(archive() + b" ")
    with pytest.raises(UserError, match=r"has SHA-256 .*params\.yaml says"):
        downloads.read_pinned(path, hashlib.sha256(archive()).hexdigest())


def test_good_copy_in_the_cache_needs_no_network(cache: Path, params: Fetch) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(archive())
    (cache / imdb.WORD_INDEX).write_bytes(INDEX)
    assert downloads.imdb(params) == (archive(), INDEX)


def test_download_lands_in_the_cache(cache: Path, params: Fetch, mirror: str) -> None:
    downloads.imdb(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()
    assert sorted(path.name for path in cache.iterdir()) == [imdb.ARCHIVE, imdb.WORD_INDEX]


def test_damaged_copy_in_the_cache_is_downloaded_anew(
    cache: Path, params: Fetch, mirror: str
) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(archive()[:100])
    downloads.imdb(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()


def test_tampered_download_is_refused_and_not_kept(
    cache: Path, params: Fetch, mirror: str, source: dict[str, bytes]
) -> None:
    source[imdb.ARCHIVE] = archive() + b"tampered"
    with pytest.raises(UserError, match=r"does not have what params\.yaml pins") as raised:
        downloads.imdb(params.model_copy(update={"url": mirror}))
    assert not isinstance(raised.value, Unreachable)
    assert list(cache.iterdir()) == []


def test_damaged_copy_stays_where_no_better_one_can_be_had(cache: Path, params: Fetch) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(b"mine")
    with pytest.raises(Unreachable):
        downloads.imdb(params)
    assert (cache / imdb.ARCHIVE).read_bytes() == b"mine"


def test_out_of_reach_fails_within_seconds_and_names_cause_and_ways_on(
    cache: Path, params: Fetch
) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable) as raised:
        downloads.imdb(params)
    assert time.monotonic() - begun < 10
    message = str(raised.value)
    for part in ("Connection refused", str(cache), "fetch.url", "fetch.dataset: synthetic"):
        assert part in message


def test_missing_on_the_mirror_is_named(cache: Path, params: Fetch, mirror: str) -> None:
    with pytest.raises(Unreachable, match="404"):
        downloads.imdb(params.model_copy(update={"url": f"{mirror}elsewhere/"}))
    assert not (cache / imdb.ARCHIVE).exists()


def test_silent_server_is_given_up_after_the_time_out_however_many_addresses_it_has(
    cache: Path, params: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not cache.exists()

    def silent(url: str, timeout: float) -> None:
        assert url
        time.sleep(4 * timeout)

    monkeypatch.setattr(requests, "head", silent)
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
@pytest.mark.parametrize("given", [False, True])
def test_cache_is_found_as_keras_finds_it(
    given: bool, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src import api_export
    from keras.src.backend import config

    monkeypatch.setenv("HOME", str(in_tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if given:
        monkeypatch.setenv("KERAS_HOME", f"{in_tmp_path}/keras")
    # Keras looks when it is imported: run that module again, without its second registration
    monkeypatch.setattr(api_export, "keras_export", lambda *_: lambda exported: exported)
    keras = runpy.run_path(config.__file__)["keras_home"]()
    assert str(downloads.cache_folder()) == f"{keras}/datasets"


@pytest.mark.parametrize("name", ["there.csv", ""])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="There is no file"), downloads.local(str(tmp_path / name)):
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a web server that has the files of a folder."""
    with web(tmp_path) as found:
        yield found


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_at_an_address_is_read(tmp_path: Path, address: str, kind: str) -> None:
    made(tmp_path, kind)
    with downloads.local(f"{address}/reviews.{kind}") as source:
        found = list(rows.read(source, COLUMNS, 1000))
    assert [(each.text, each.label) for each in found] == GOOD
    assert found[0].place.startswith(f"{address}/reviews.{kind}, row 1")
    assert not source.path.exists()


def test_a_password_is_found_in_netrc(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    made(tmp_path / "private", "csv")
    where = f"{address}/private/reviews.csv"
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match="401"), downloads.local(where):
        pass
    write(tmp_path / "netrc", f"machine 127.0.0.1 login ann password {PASSWORD}\n").chmod(0o600)
    with downloads.local(where) as source:
        assert len(list(rows.read(source, COLUMNS, 1000))) == len(GOOD)


def test_a_query_of_an_address_is_not_part_of_its_name(tmp_path: Path, address: str) -> None:
    made(tmp_path, "csv")
    with downloads.local(f"{address}/reviews.csv?signature=secret") as source:
        assert len(list(rows.read(source, COLUMNS, 1000))) == len(GOOD)
    assert source.name == f"{address}/reviews.csv"
    with pytest.raises(UserError) as raised, downloads.local(f"{address}/a.xlsx?signature=secret"):
        pass
    assert "a.xlsx ends in none of" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("folder", ["private", "signed"])
def test_what_a_server_refuses_is_said_without_the_query_of_an_address(
    address: str, folder: str
) -> None:
    with (
        pytest.raises(UserError) as raised,
        downloads.local(f"{address}/{folder}/reviews.csv?signature=secret"),
    ):
        pass
    assert "reviews.csv cannot be read: 401" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("same_handlers")
def test_a_signal_ends_a_copy(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "large.csv", b"text,label\n" * 10_000_000)

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


def test_an_address_that_has_no_such_file_or_is_away_is_named(address: str) -> None:
    for wrong, message in (
        (f"{address}/a.csv", f"There is no file {address}/a.csv"),
        (f"http://127.0.0.1:{free_port()}/a.csv", "/a.csv cannot be read: Cannot connect to host"),
        ("gopher://example.org/a.csv", "a.csv cannot be read: Protocol not known: gopher"),
    ):
        with pytest.raises(UserError) as raised, downloads.local(wrong):
            pass
        assert message in str(raised.value)
