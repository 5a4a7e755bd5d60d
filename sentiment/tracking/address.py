"""The address of MLflow's tracking store, and what its errors mean.

Without `MLFLOW_TRACKING_URI`, the tracking store is the one that `mlflow ui` shows in the root:
`mlflow.db`, with artifacts in `mlruns/` next to it.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from sentiment.errors import UserError, first_line, redact
from sentiment.project.files.paths import Project
from sentiment.terminal import show

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
NOT_IN_A_PATH = "?#%"  # MLflow and SQLAlchemy take these for parts of a URL
PROBE_SECONDS = 5.0  # how long a server may take to answer the first request
# Packages whose errors mean that the store cannot be used.
STORE_PACKAGES = (
    "alembic",
    "azure",
    "boto3",
    "botocore",
    "google",
    "requests",
    "sqlalchemy",
    "sqlite3",
    "urllib3",
)
# MLflow's codes for a store that cannot be used. Its other codes mean that our request was wrong.
STORE_CODES = (
    "INTERNAL_ERROR",
    "IO_ERROR",
    "PERMISSION_DENIED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
    "UNAUTHENTICATED",
)
UNREACHABLE = "Max retries exceeded"  # in MLflow's message, which has several lines of detail
INVALID_HOST = "Invalid Host header"  # MLflow's response to a host name that it does not serve
RETRYING = "Retrying ("  # how urllib3's warning begins before it sends a request again


class StoreError(UserError):
    """A store of runs or trials cannot be used now. It may work again later."""


class Address(NamedTuple):
    """A parsed URI of a tracking store.

    Attributes:
        uri: without a user name, a password, a query and a fragment.
        user: the user name, or None. `password` likewise.
    """

    uri: str
    user: str | None
    password: str | None


def tracking_uri(project: Project) -> str:
    """Return `MLFLOW_TRACKING_URI`, or the URI of the database in the root.

    A relative path to a database starts from the root, wherever a stage runs: DVC removes its
    temporary copies of the project.

    Raises:
        StoreError: the URI is malformed, or MLflow cannot hold a store in its folder.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DATABASE}"
    if not uri.startswith(SQLITE):
        parse_address(uri)
        return uri
    path, mark, options = uri.removeprefix(SQLITE).partition("?")
    database = os.path.normpath(project.root / path)
    if set(NOT_IN_A_PATH) & set(database):
        raise StoreError(
            f"MLflow cannot keep a store in {database}: its path has one of the characters "
            f"{' '.join(NOT_IN_A_PATH)}. Rename the folder, or set MLFLOW_TRACKING_URI to another "
            "store."
        )
    return f"{SQLITE}{database}{mark}{options}"


def is_server(uri: str) -> bool:
    """Return whether a tracking store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite database, or None if a tracking store is something else."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def parse_address(uri: str) -> Address:
    """Parse the URI of a tracking store.

    Databases are parsed by SQLAlchemy, because a password may contain a slash there.

    Raises:
        StoreError: the URI is malformed.
    """
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        if uri.startswith(SQLITE):
            return Address(uri.partition("?")[0], None, None)
        if "sql" in urlsplit(uri).scheme:
            url = make_url(uri)
            plain = URL.create(url.drivername, None, None, url.host, url.port, url.database)
            return Address(plain.render_as_string(), url.username, url.password)
        parts = urlsplit(uri)
        if is_server(uri) and not parts.hostname:
            raise ValueError("there is no host")
        _ = parts.port  # raises if it is no number, such as a part of a password with a slash
    except (ValueError, ArgumentError):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={redact(uri)} is malformed. Write it as http://HOST:PORT, with "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or unset it to use the store "
            "in this folder."
        ) from None
    host = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Address(urlunsplit((parts.scheme, host, parts.path, "", "")), user, password)


def shown_uri(uri: str) -> str:
    """Return the URI of a tracking store as messages show it, without a user and a password."""
    return parse_address(uri).uri


def hide_credentials(text: str, uri: str) -> str:
    """Remove the user name and the password of a URI, and secrets of other URLs, from a text."""
    _, user, password = parse_address(uri)
    if password:
        name = user or ""
        for each in (f"{name}:{password}@", f"{quote(name, safe='')}:{quote(password, safe='')}@"):
            text = text.replace(each, "")
        # Not within a word, which a short password may be a part of.
        text = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", "***", text)
    return redact(text)


def point_mlflow_at(uri: str) -> str:
    """Return the URI to give MLflow, once a server has answered.

    MLflow prints the URI of a server, so user name and password move to the environment.

    Raises:
        StoreError: the server does not answer.
    """
    if not is_server(uri):
        return uri
    address = parse_address(uri)
    if address.user:
        os.environ["MLFLOW_TRACKING_USERNAME"] = address.user
    if address.password:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = address.password
    os.environ["MLFLOW_TRACKING_URI"] = address.uri
    _probe_server(address.uri)
    logging.getLogger("urllib3.connectionpool").addFilter(RetryFilter(address.uri))
    return address.uri


def _probe_server(uri: str) -> None:
    """Check that a server responds at all, whatever the response.

    MLflow itself tries for minutes, which is right for a server that restarts during a training.

    Raises:
        StoreError: the server does not answer.
    """
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)
    except requests.exceptions.RequestException as error:
        raise _unreachable_error(uri, first_line(error)) from error


class RetryFilter(logging.Filter):
    """Say once in plain words that MLflow tries to reach its server again.

    Args:
        uri: the address of the server.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri
        self.is_said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message of urllib3 is shown. Retries are said in plain words instead."""
        if not record.getMessage().startswith(RETRYING):
            return True
        if not self.is_said:
            self.is_said = True
            show(
                f"The MLflow server at {self.uri} does not answer. Trying again for some minutes "
                "(MLFLOW_HTTP_REQUEST_MAX_RETRIES sets how often)",
                err=True,
            )
        return False


def try_only_once() -> None:
    """Let MLflow's next requests fail at once if the server does not answer.

    A stage that a signal or the server has ended should not wait for the server for minutes.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(int(PROBE_SECONDS))


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of MLflow, its database and its artifact store into a `StoreError`.

    An error that MLflow finds in our own request stays as it is.

    Raises:
        StoreError: the store cannot be used, or the user lacks a permission on the server.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in STORE_CODES:
            raise
        raise _mlflow_error(error) from error
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        # A store may need any package that is not installed.
        if package not in STORE_PACKAGES and not isinstance(error, ModuleNotFoundError):
            raise
        raise unusable_error(error) from error


def _mlflow_error(error: "MlflowException") -> StoreError:
    """Return the error for what MLflow says about its store."""
    import mlflow

    status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    store = shown_uri(mlflow.get_tracking_uri())
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or "you"
    if status == HTTPStatus.UNAUTHORIZED:
        return StoreError(
            f"The MLflow server at {store} rejected the user name or password. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run the command again."
        )
    if status == HTTPStatus.FORBIDDEN and INVALID_HOST not in str(error):
        return StoreError(
            f"The MLflow server at {store} does not let {user} do this. Ask its administrator for "
            "the right to change the experiment and the registered model."
        )
    if UNREACHABLE in str(error):
        return _unreachable_error(store, "")
    return unusable_error(error)


def _unreachable_error(uri: str, reason: str) -> StoreError:
    detail = f" ({reason})" if reason else ""
    return StoreError(
        f"The MLflow server at {uri} does not answer{detail}. Start it, or unset "
        "MLFLOW_TRACKING_URI to use the store in this folder, and run the same command again."
    )


def unusable_error(error: Exception) -> StoreError:
    """Return the error for a store that MLflow, or a package that it needs, cannot use."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    reason = hide_credentials(str(error), uri).strip().partition("\n")[0]
    return StoreError(
        f"The MLflow store at {shown_uri(uri)} cannot be used: {reason or type(error).__name__}\n"
        "Fix it, or set MLFLOW_TRACKING_URI to another store, and run the command again."
    )
