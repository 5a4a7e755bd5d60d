"""Files are brought from elsewhere whole, checked, or not at all."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentiment.data import imdb, rows
from sentiment.data.params import FetchParams
from sentiment.errors import UserError
from tests.project import free_port
from tests.sentiment.data.test_imdb import INDEX, archive
from tests.sentiment.data.test_rows import COLUMNS, GOOD, made, write
from tests.services import PASSWORD, web
from workflow import downloads
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
def params(default_params: Params) -> FetchParams:
    """Settings for the small files."""
    return default_params.fetch.model_copy(
        update={
            "url": NOWHERE,
            "retries": 0,
            "archive_sha256": hashlib.sha256(archive()).hexdigest(),
            "word_index_sha256": hashlib.sha256(INDEX).hexdigest(),
        }
    )


@pytest.mark.parametrize("damaged", [False, True])
def test_what_the_cache_lacks_or_has_damaged_is_downloaded_into_it(
    cache: Path, params: FetchParams, mirror: str, damaged: bool
) -> None:
    if damaged:
        cache.mkdir(parents=True)
        (cache / imdb.ARCHIVE).write_bytes(archive()[:100])
    downloads.imdb(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()
    assert sorted(path.name for path in cache.iterdir()) == [imdb.ARCHIVE, imdb.WORD_INDEX]


def test_tampered_download_is_refused_and_not_kept(
    cache: Path, params: FetchParams, mirror: str
) -> None:
    Path("web", imdb.ARCHIVE).write_bytes(archive() + b"tampered")
    with pytest.raises(UserError, match=r"does not have what params\.yaml pins") as raised:
        downloads.imdb(params.model_copy(update={"url": mirror}))
    assert not isinstance(raised.value, Unreachable)
    assert list(cache.iterdir()) == []


def test_out_of_reach_fails_within_seconds_and_names_cause_and_ways_on(
    cache: Path, params: FetchParams
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


def test_a_file_at_an_address_is_read_by_the_password_in_netrc(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    made(tmp_path / "private", "csv")
    where = f"{address}/private/reviews.csv"
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "401" in refused(where)
    write(tmp_path / "netrc", f"machine 127.0.0.1 login ann password {PASSWORD}\n").chmod(0o600)
    with downloads.local(f"{where}?signature=secret") as source:
        labelled = list(rows.read_labeled_rows(source, COLUMNS, 1000))
    assert [(row.text, row.label) for row in labelled] == GOOD
    assert source.name == where  # without the query
    assert not source.path.exists()


def test_a_folder_is_all_its_files_but_hidden_ones_and_an_address_one_file(
    tmp_path: Path, address: str
) -> None:
    (tmp_path / "added").mkdir()
    for name in ("b.csv", "a.csv", ".gitignore"):
        write(tmp_path / "added" / name, name)
    with downloads.added(f"{tmp_path}/added/") as (sources, both):
        assert [source.path.name for source in sources] == ["a.csv", "b.csv"]
    with downloads.added(f"{address}/added/a.csv") as (sources, one):
        assert [source.path.read_text(encoding="utf-8") for source in sources] == ["a.csv"]
    write(tmp_path / "added" / "b.csv", "changed")
    with downloads.added(f"{tmp_path}/added") as (_, changed):
        assert len({both, one, changed}) == 3


def test_what_cannot_be_used_is_named_without_the_query_of_its_address(
    tmp_path: Path, address: str
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for wrong, message in (
        (f"{tmp_path}/there.csv", f"There is no file {tmp_path}/there.csv"),
        (f"{address}/a.csv", f"There is no file {address}/a.csv"),
        (f"{address}/signed/a.csv?signature=secret", "a.csv cannot be read: 401"),
        (f"{away}/a.csv", "/a.csv cannot be read: Cannot connect to host"),
    ):
        said = refused(wrong)
        assert message in said
        assert "secret" not in said
