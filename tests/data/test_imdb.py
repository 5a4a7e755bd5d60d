"""Download IMDB's files, verify them, and read them."""

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sentiment.data import imdb
from sentiment.errors import UserError


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Publish small files that were made as the real ones, and return their folder."""
    folder = tmp_path / "published"
    folder.mkdir()
    x = np.array([[1, 2, 3], [4]], dtype=object)
    y = np.array([1, 0])
    np.savez(folder / imdb.ARCHIVE, x_train=x, y_train=y, x_test=x[::-1], y_test=y[::-1])
    (folder / imdb.WORD_INDEX).write_text(json.dumps({"the": 1, "and": 2, "a": 3, "of": 4}))
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in imdb.SHA256
    }
    monkeypatch.setattr(imdb, "SHA256", digests)
    monkeypatch.setattr(imdb, "RETRIES", 0)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        monkeypatch.setattr(imdb, "URL", f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def test_missing_files_are_downloaded_and_read(published: Path, tmp_path: Path) -> None:
    folder = imdb.fetch_files()
    assert folder == tmp_path / "keras" / "datasets"
    for path in published.iterdir():
        path.unlink()
    assert imdb.fetch_files() == folder  # from the cache
    train, test, word_index = imdb.read_files(folder)
    assert [review.tolist() for review in train] == [[1, 2, 3], [4]]
    assert [review.tolist() for review in test] == [[4], [1, 2, 3]]
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0], [0, 1])
    assert word_index["of"] == 4


def test_cached_file_that_differs_is_downloaded_again(published: Path, tmp_path: Path) -> None:
    cached = tmp_path / "keras" / "datasets" / imdb.WORD_INDEX
    cached.parent.mkdir(parents=True)
    cached.write_text("{}")
    imdb.fetch_files()
    assert cached.read_bytes() == (published / imdb.WORD_INDEX).read_bytes()


def test_download_that_differs_is_refused(published: Path, tmp_path: Path) -> None:
    (published / imdb.ARCHIVE).write_bytes(b"evil")
    with pytest.raises(UserError, match="does not have the files that Keras published"):
        imdb.fetch_files()
    assert not (tmp_path / "keras" / "datasets" / imdb.ARCHIVE).exists()


def test_failed_download_names_the_ways_out(published: Path) -> None:
    (published / imdb.ARCHIVE).unlink()
    with pytest.raises(UserError) as raised:
        imdb.fetch_files()
    for part in (
        "404",
        "HTTPS_PROXY",
        imdb.ARCHIVE,
        "fetch.dataset: synthetic",
        "dvc checkout",
    ):
        assert part in str(raised.value)
