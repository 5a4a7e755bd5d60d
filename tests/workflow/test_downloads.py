"""Files from elsewhere are complete and verified, or not there at all."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentiment.data import imdb, rows
from sentiment.data.params import TableParams
from sentiment.errors import UserError
from tests.project import free_port
from tests.sentiment.data.test_imdb import INDEX, archive
from tests.sentiment.data.test_rows import COLUMNS, GOOD, write_file, write_good_file
from tests.services import PASSWORD, web
from workflow import downloads
from workflow.downloads import ImdbUnavailableError
from workflow.params import Params

UNREACHABLE_URL = "http://127.0.0.1:9/"


@pytest.fixture
def mirror(
    in_tmp_path: Path,
    small_imdb: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Serve both files from the folder `web`."""
    (in_tmp_path / "web").mkdir()
    (in_tmp_path / "web" / imdb.ARCHIVE).write_bytes(archive())
    (in_tmp_path / "web" / imdb.WORD_INDEX).write_bytes(INDEX)
    with web(in_tmp_path / "web") as server:
        monkeypatch.setattr(downloads, "IMDB_URL", f"{server}/")
        yield


@pytest.fixture
def cache(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of Keras' dataset cache, which does not exist yet."""
    monkeypatch.setenv("KERAS_HOME", str(in_tmp_path / "keras"))
    return in_tmp_path / "keras" / "datasets"


@pytest.fixture(autouse=True)
def small_imdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small files, at a URL without a server."""
    contents = {imdb.ARCHIVE: archive(), imdb.WORD_INDEX: INDEX}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(imdb, "SHA256", digests)
    monkeypatch.setattr(downloads, "IMDB_URL", UNREACHABLE_URL)
    monkeypatch.setattr(downloads, "IMDB_RETRIES", 0)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("is_damaged", [False, True])
def test_missing_or_damaged_file_is_downloaded_into_the_cache(
    cache: Path, is_damaged: bool
) -> None:
    if is_damaged:
        cache.mkdir(parents=True)
        (cache / imdb.ARCHIVE).write_bytes(archive()[:100])
    content = downloads.fetch_imdb()
    assert content == (archive(), INDEX)
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()
    assert sorted(path.name for path in cache.iterdir()) == [imdb.ARCHIVE, imdb.WORD_INDEX]


@pytest.mark.usefixtures("mirror")
def test_tampered_download_is_refused_and_not_kept(cache: Path) -> None:
    Path("web", imdb.ARCHIVE).write_bytes(archive() + b"tampered")
    message = "does not have the files that Keras published"
    with pytest.raises(UserError, match=message) as raised:
        downloads.fetch_imdb()
    assert not isinstance(raised.value, ImdbUnavailableError)
    assert list(cache.iterdir()) == []


def test_unreachable_url_fails_within_seconds_and_says_what_to_do(cache: Path) -> None:
    """Keep a damaged copy, because no better one can be downloaded."""
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(b"mine")
    start = time.monotonic()
    with pytest.raises(ImdbUnavailableError) as raised:
        downloads.fetch_imdb()
    assert time.monotonic() - start < 10
    message = str(raised.value)
    for part in ("Connection refused", str(cache), "HTTPS_PROXY", "fetch.dataset to synthetic"):
        assert part in message
    assert (cache / imdb.ARCHIVE).read_bytes() == b"mine"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a web server that has the files of a folder."""
    with web(tmp_path) as url:
        yield url


def refusal(path_or_url: str) -> str:
    """Return why a file cannot be used."""
    with pytest.raises(UserError) as raised, downloads.local_copy(path_or_url):
        pass
    return str(raised.value)


def test_file_at_a_url_is_read_with_the_password_in_netrc(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    write_good_file(tmp_path / "private", "csv")
    url = f"{server}/private/reviews.csv"
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "401" in refusal(url)
    write_file(tmp_path / "netrc", f"machine 127.0.0.1 login ann password {PASSWORD}\n").chmod(
        0o600
    )
    with downloads.local_copy(f"{url}?signature=secret") as source:
        labeled = list(rows.read_valid_rows(source, COLUMNS, 1000))
    assert [(row.text, row.label) for row in labeled] == GOOD
    assert source.name == url  # without the query
    assert not source.path.exists()


def table_params(default_params: Params, train: Path, test: Path) -> TableParams:
    return default_params.fetch.table.model_copy(update={"train": str(train), "test": str(test)})


def test_tables_have_a_digest_each(tmp_path: Path, default_params: Params) -> None:
    train = write_file(tmp_path / "train.csv", "train")
    test = write_file(tmp_path / "test.csv", "test")
    with downloads.local_tables(table_params(default_params, train, test)) as (sources, digests):
        assert [source.path for source in sources] == [train, test]
        assert digests == {
            "train": hashlib.sha256(b"train").hexdigest(),
            "test": hashlib.sha256(b"test").hexdigest(),
        }
    with downloads.local_tables(table_params(default_params, train, train)) as (sources, digests):
        assert [source.path for source in sources] == [train]
        assert list(digests) == ["train"]


def test_two_tables_with_the_same_content_are_refused(
    tmp_path: Path, default_params: Params
) -> None:
    train = write_file(tmp_path / "train.csv", "same")
    test = write_file(tmp_path / "test.csv", "same")
    tables = downloads.local_tables(table_params(default_params, train, test))
    with (
        pytest.raises(UserError, match=r"train\.csv and .*test\.csv have the same content"),
        tables,
    ):
        pass


def test_added_tables_are_the_visible_files_of_a_folder_or_one_file(
    tmp_path: Path, server: str
) -> None:
    (tmp_path / "added").mkdir()
    for name in ("b.csv", "a.csv", ".gitignore"):
        write_file(tmp_path / "added" / name, name)
    with downloads.local_added_tables(f"{tmp_path}/added/") as (sources, digest_of_both):
        assert [source.path.name for source in sources] == ["a.csv", "b.csv"]
    with downloads.local_added_tables(f"{server}/added/a.csv") as (sources, digest_of_one):
        assert [source.path.read_text(encoding="utf-8") for source in sources] == ["a.csv"]
    write_file(tmp_path / "added" / "b.csv", "changed")
    with downloads.local_added_tables(f"{tmp_path}/added") as (_, digest_of_changed):
        assert len({digest_of_both, digest_of_one, digest_of_changed}) == 3


def test_file_that_cannot_be_used_is_named_without_the_query_of_its_url(
    tmp_path: Path, server: str
) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    for name, message in (
        (f"{tmp_path}/there.csv", f"There is no file {tmp_path}/there.csv"),
        (f"{server}/a.csv", f"There is no file {server}/a.csv"),
        (f"{server}/signed/a.csv?signature=secret", "a.csv cannot be read: 401"),
        (f"{closed}/a.csv", "/a.csv cannot be read: Cannot connect to host"),
    ):
        refused = refusal(name)
        assert message in refused
        assert "secret" not in refused


def test_folder_without_tables_is_named(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    with pytest.raises(UserError) as raised, downloads.local_added_tables(str(tmp_path)):
        pass
    assert str(raised.value) == (f"{tmp_path} is a folder without tables. Add one, or name a file.")


def test_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    write_file(tmp_path / "a.csv", "text,label\n")
    assert refusal(str(tmp_path)) == f"{tmp_path} is a folder. Name a file."


def test_file_with_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.csv"))
    write_file(path, "text,label\n")
    assert "is not UTF-8. Rename the file." in refusal(str(path))
