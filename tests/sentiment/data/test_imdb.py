import hashlib
import http.server
import io
import pickle
import runpy
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from sentiment import files
from sentiment.data import imdb
from sentiment.data.dataset import Fetch, settings_used
from sentiment.data.reviews import read_reviews
from sentiment.errors import UserError
from sentiment.params import Params
from sentiment.pipeline import FETCH
from stages import fetch
from tests.conftest import defaults
from tests.project import change_params

NOWHERE = "http://127.0.0.1:9/"


def archive(**replacements: bytes) -> bytes:
    """A small imdb.npz, made as the real one was."""
    reviews = np.array([[1, 2, 3], [4]], dtype=object)
    labels = np.array([1, 0])
    buffer = io.BytesIO()
    arrays = {"x_train": reviews, "y_train": labels, "x_test": reviews[::-1], "y_test": labels}
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=True)
            # ZipInfo: dated 1980, so that every call gives the same bytes
            entry = zipfile.ZipInfo(f"{name}.npy")
            file.writestr(entry, replacements.get(name, content.getvalue()))
    return buffer.getvalue()


INDEX = b'{"the": 1, "and": 2, "a": 3, "of": 4}'


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


def test_archive_is_parsed_to_its_four_arrays() -> None:
    arrays = imdb.parse_archive(archive())
    assert arrays["x_train"].tolist() == [[1, 2, 3], [4]]
    assert arrays["y_test"].tolist() == [1, 0]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("owned",)


def test_pickle_that_names_anything_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": (2,)}
    )
    content = header.getvalue() + pickle.dumps(Evil())
    with pytest.raises(UserError, match=r"print is not admitted"):
        imdb.parse_archive(archive(x_train=content))
    assert "owned" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"no zip", archive()[:-30], archive(x_train=b"no array"), archive(y_test=b"")]
)
def test_what_is_no_such_archive_is_one_message(content: bytes) -> None:
    with pytest.raises(UserError, match="is not the archive that Keras publishes"):
        imdb.parse_archive(content)


def test_nothing_is_interpreted_before_the_digest_matches(tmp_path: Path) -> None:
    path = tmp_path / imdb.ARCHIVE
    path.write_bytes(archive() + b" ")
    with pytest.raises(UserError, match=r"has SHA-256 .*params\.yaml says"):
        imdb.read_pinned(path, hashlib.sha256(archive()).hexdigest())


def test_good_copy_in_the_cache_needs_no_network(cache: Path, params: Fetch) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(archive())
    (cache / imdb.WORD_INDEX).write_bytes(INDEX)
    train, _, index = imdb.load(params)
    assert train[0].tolist() == [1, 2, 3]
    assert index["of"] == 4


def test_download_lands_in_the_cache(cache: Path, params: Fetch, mirror: str) -> None:
    imdb.load(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()
    assert sorted(path.name for path in cache.iterdir()) == [imdb.ARCHIVE, imdb.WORD_INDEX]


def test_damaged_copy_in_the_cache_is_downloaded_anew(
    cache: Path, params: Fetch, mirror: str
) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(archive()[:100])
    imdb.load(params.model_copy(update={"url": mirror}))
    assert (cache / imdb.ARCHIVE).read_bytes() == archive()


def test_tampered_download_is_refused_and_not_kept(
    cache: Path, params: Fetch, mirror: str, source: dict[str, bytes]
) -> None:
    source[imdb.ARCHIVE] = archive() + b"tampered"
    with pytest.raises(UserError, match=r"does not have what params\.yaml pins") as raised:
        imdb.load(params.model_copy(update={"url": mirror}))
    assert not isinstance(raised.value, imdb.Unreachable)
    assert list(cache.iterdir()) == []


def test_damaged_copy_stays_where_no_better_one_can_be_had(cache: Path, params: Fetch) -> None:
    cache.mkdir(parents=True)
    (cache / imdb.ARCHIVE).write_bytes(b"mine")
    with pytest.raises(imdb.Unreachable):
        imdb.load(params)
    assert (cache / imdb.ARCHIVE).read_bytes() == b"mine"


def test_out_of_reach_fails_within_seconds_and_names_cause_and_ways_on(
    cache: Path, params: Fetch
) -> None:
    begun = time.monotonic()
    with pytest.raises(imdb.Unreachable) as raised:
        imdb.load(params)
    assert time.monotonic() - begun < 10
    message = str(raised.value)
    for part in ("Connection refused", str(cache), "fetch.url", "fetch.dataset: synthetic"):
        assert part in message


def test_missing_on_the_mirror_is_named(cache: Path, params: Fetch, mirror: str) -> None:
    with pytest.raises(imdb.Unreachable, match="404"):
        imdb.load(params.model_copy(update={"url": f"{mirror}elsewhere/"}))
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
    with pytest.raises(imdb.Unreachable, match="no answer within 1 seconds"):
        imdb.obtain(params.model_copy(update={"timeout": 1}))
    assert time.monotonic() - begun < 3


def test_cache_that_cannot_be_written_is_one_message(
    in_tmp_path: Path, params: Fetch, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("KERAS_HOME", str(in_tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be used.*Set KERAS_HOME"):
        imdb.obtain(params.model_copy(update={"url": mirror}))


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
    assert str(imdb.cache_folder()) == f"{keras}/datasets"


def test_where_it_came_from_does_not_shape_the_data(params: Fetch) -> None:
    shaping = settings_used(params)
    assert set(shaping) == {"fetch.dataset", "fetch.archive_sha256", "fetch.word_index_sha256"}


def test_settings_shape_a_synthetic_set(small_params: Params) -> None:
    shaping = settings_used(small_params.fetch)
    assert shaping["fetch.synthetic.train_reviews"] == 320
    assert "fetch.archive_sha256" not in shaping


def test_synthetic_set_has_the_same_form_on_disk(in_tmp_path: Path) -> None:
    path = in_tmp_path / "params.yaml"
    files.write_json(path, defaults())
    sizes = {"train_reviews": 100, "test_reviews": 120}
    change_params(path, {"fetch": {"dataset": "synthetic", "synthetic": sizes}})
    fetch.main()
    assert len(read_reviews(FETCH, "train")) == 100
    assert len(read_reviews(FETCH, "test")) == 120
    assert files.read_json(FETCH / "word_index.json")["the"] >= 1
