"""The address of the store has no password in messages, and its errors are one message each."""

import logging
import os
import sqlite3
import time
import zipfile
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sentiment.project.files.paths import Project
from sentiment.tracking import address, store
from sentiment.tracking.address import StoreError
from tests.small_project import free_port


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("http://me:s3cret@host:81/team@other:82", "http://host:81/team@other:82"),
        ("https://token@host/", "https://host/"),
        ("https://me:a%2Fb@host?to=me@other#x@y", "https://host"),
        ("postgresql+psycopg://me:12/34@host/runs", "postgresql+psycopg://host/runs"),
        ("sqlite:////tmp/a b/mlflow.db", "sqlite:////tmp/a b/mlflow.db"),
    ],
)
def test_an_address_is_parsed_and_keeps_its_host(uri: str, asked: str) -> None:
    assert address.parse_address(uri).uri == asked


def test_user_and_password_are_those_that_the_address_encodes() -> None:
    parsed = address.parse_address("https://an%40n:s%2Fcr%3Aet@host/")
    assert (parsed.user, parsed.password) == ("an@n", "s/cr:et")


def test_the_known_password_is_taken_out_wherever_it_is() -> None:
    uri = "postgresql://me:12 34@host/runs"
    text = "cannot parse 'postgresql://me:12 34@host/runs': what is 12 34, or 112 345?"
    hidden = "cannot parse 'postgresql://host/runs': what is ***, or 112 345?"
    assert address.hide_credentials(text, uri) == hidden


class Noting(BaseHTTPRequestHandler):
    """Notes the host and the path of each request, and whether it has a password."""

    requests: list[tuple[str, str, bool]]

    def do_GET(self) -> None:
        host = self.headers["Host"]
        self.requests.append((host, self.path, "Authorization" in self.headers))
        self.send_response(HTTPStatus.UNAUTHORIZED)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_password_goes_to_no_other_host_than_that_of_the_address(
    monkeypatch: pytest.MonkeyPatch, in_tmp_path: Path
) -> None:
    monkeypatch.setattr(Noting, "requests", [], raising=False)
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Noting) for _ in "ab"]
    for server in servers:
        Thread(target=server.serve_forever, daemon=True).start()
    own, other = (server.server_address[1] for server in servers)
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{own}/team@127.0.0.1:{other}"
    )
    client = store.connect(Project.here())
    with pytest.raises(StoreError), address.store_errors():
        client.search_experiments()
    for server in servers:
        server.shutdown()
        server.server_close()
    assert {host for host, _, _ in Noting.requests} == {f"127.0.0.1:{own}"}
    assert all(path.startswith("/team@") for _, path, _ in Noting.requests)
    assert any(has_password for _, _, has_password in Noting.requests)
    assert list(in_tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["http://me:se/cret@host", "http://", "postgresql://me:x@host:y/z"])
def test_an_address_without_a_host_or_a_port_is_one_message_without_a_password(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match="is malformed") as raised:
        store.connect(Project.here())
    assert "cret" not in str(raised.value)


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("uri", ["htp://x", "runs"])
def test_a_kind_of_store_that_mlflow_does_not_have_is_one_message(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match=f"store at {uri} cannot be used"):
        store.connect(Project.here())


@pytest.mark.parametrize("sign", ["?", "#", "%"])
def test_a_folder_that_mlflow_cannot_keep_a_store_in_is_refused(
    tmp_path: Path, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / f"a{sign}20b"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(StoreError, match="Rename the folder"):
        address.tracking_uri(Project(root, root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert address.tracking_uri(Project(root, root)) == "http://host"


def test_a_warning_of_urllib3_about_something_else_is_no_retry(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("pool")
    shown = address.RetryFilter("http://127.0.0.1:9")
    text = "Connection pool is full, discarding connection: %s. Connection pool size: %s"
    record = logger.makeRecord("pool", logging.WARNING, "", 0, text, ("host", 10), None)
    assert shown.filter(record)
    assert capsys.readouterr().err == ""


def test_malformed_uri_is_one_message_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@[::1")
    with pytest.raises(StoreError, match=r"=http://\[::1 is malformed"):
        store.connect(Project.here())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UNAUTHENTICATED", "rejected the user name or password"),
        ("PERMISSION_DENIED", "does not let you do this"),
        ("INTERNAL_ERROR", "cannot be used: no answer"),
    ],
)
def test_error_of_a_server_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    from mlflow.protos import databricks_pb2

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    with pytest.raises(StoreError, match=message) as raised, address.store_errors():
        raise MlflowException("no answer", databricks_pb2.ErrorCode.Value(code))
    assert "secret" not in str(raised.value)


def test_error_of_the_database_becomes_a_store_error(in_tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="no such table"),
        address.store_errors(),
        closing(sqlite3.connect(in_tmp_path / "other.db")) as database,
    ):
        database.execute("SELECT * FROM lost")


def raised_in(package: str) -> Exception:
    """Return an exception of a class that a package defines."""
    kind = type("SomeError", (Exception,), {"__module__": package})
    error: Exception = kind("what is wrong")
    return error


@pytest.mark.parametrize(
    "module", ["botocore.exceptions", "google.api_core.exceptions", "requests.exceptions"]
)
def test_error_of_an_artifact_store_becomes_a_store_error(module: str) -> None:
    with pytest.raises(StoreError, match="cannot be used: what is wrong"), address.store_errors():
        raise raised_in(module)


def test_package_of_a_store_that_is_not_installed_becomes_a_store_error() -> None:
    with pytest.raises(StoreError, match="No module named 'adlfs'"), address.store_errors():
        raise ModuleNotFoundError("No module named 'adlfs'")


@pytest.mark.parametrize(
    "error",
    [
        pd.errors.EmptyDataError("No columns to parse"),
        zipfile.BadZipFile("File is not a zip file"),
        raised_in("tensorflow.python.framework.errors_impl"),
        raised_in("sentiment.tracking.models"),
        OSError("disk"),
        ValueError("a mistake"),
    ],
    ids=lambda error: type(error).__module__,
)
def test_error_of_another_package_does_not_blame_the_store(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, address.store_errors():
        raise error
    assert raised.value is error


def test_an_error_in_our_own_request_does_not_blame_the_store() -> None:
    from mlflow.protos import databricks_pb2

    error = MlflowException("wrong", databricks_pb2.ErrorCode.Value("INVALID_PARAMETER_VALUE"))
    with pytest.raises(MlflowException) as raised, address.store_errors():
        raise error
    assert raised.value is error


def test_retries_are_said_once_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("retries")
    logger.addFilter(address.RetryFilter("http://127.0.0.1:9"))
    for left in (6, 5, 4):
        logger.warning("Retrying (Retry(total=%d)) after connection broken by %r", left, "reset")
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("The MLflow server at http://127.0.0.1:9 does not answer. Trying")


def test_server_that_does_not_answer_fails_within_seconds_without_a_password(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the URI too, which MLflow prints and which the run's URL would contain."""
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "before")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s%40cret@127.0.0.1:{free_port()}/")
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
        store.connect(Project.here())
    assert time.monotonic() - started < 10
    assert "cret" not in str(raised.value)
    assert "@" not in os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"
    assert not (in_tmp_path / "mlflow.db").exists()
