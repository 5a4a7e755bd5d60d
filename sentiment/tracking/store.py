"""The tracking store of MLflow: in the project's root, or on a server.

Without `MLFLOW_TRACKING_URI`, the tracking store is the one that `mlflow ui` shows in the root:
`mlflow.db`, with artifacts in `mlruns/` next to it.
"""

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.errors import UserError, first_line, redact
from sentiment.project.paths import Project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.exceptions import MlflowException

DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
SQLITE = "sqlite:///"
MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens by default
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
# A server with users returns the second code also for what the user must not see.
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description
# MLflow keeps a view of an experiment that somebody shared in a tag with this prefix.
SHARED_VIEW = "mlflow.sharedViewState."  # no part of MLflow's API
# In the query of a URL: MLflow's pages for training runs, not those for language models
TRAINING_PAGES = "workflowType=machine_learning"
VIEW = "metrics"  # the view of an experiment's runs with its own columns
MOVED_PAGE = "docs/pipeline.md#a-moved-folder"


class StoreError(UserError):
    """A store of runs or trials cannot be used now. It may work again later."""


def tracking_uri(project: Project) -> str:
    """Return `MLFLOW_TRACKING_URI`, or the URI of the database in the root.

    A relative path to a database starts from the root, wherever a stage runs: DVC removes its
    temporary copies of the project.

    Raises:
        StoreError: the URI is malformed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DATABASE}"
    try:
        urlsplit(uri)
    except ValueError as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI={redact(uri)} is malformed ({error}). Correct it, or unset it to "
            "use the store in this folder."
        ) from None
    path = uri.removeprefix(SQLITE)
    return f"{SQLITE}{os.path.normpath(project.root / path)}" if path != uri else uri


def is_server(uri: str) -> bool:
    """Return whether a tracking store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite database, or None if a tracking store is something else."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def connect(project: Project) -> "MlflowClient":
    """Point MLflow at the tracking store, and return a client. An SQLite database is created.

    Raises:
        StoreError: the store cannot be used, or its folder was moved or copied.
    """
    uri = _prepare(project)
    with store_errors():
        _make_database(uri)
        return _open(uri)


def connect_to_read(project: Project) -> "MlflowClient":
    """Point MLflow at an existing tracking store, which may be read-only, and return a client.

    Raises:
        StoreError: the store cannot be used, does not exist, or its folder was moved or copied.
    """
    uri = _prepare(project)
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        raise StoreError(
            f"There is no MLflow store {database} yet. Run `dvc repro`, which makes it, or "
            "set MLFLOW_TRACKING_URI to another store."
        )
    with store_errors():
        return _open(uri)


def _prepare(project: Project) -> str:
    """Return the URI of the tracking store, once a server has answered.

    MLflow prints the URI of a server, so user name and password move to the environment.

    Raises:
        StoreError: the URI is malformed, or the server does not answer.
    """
    uri = tracking_uri(project)
    parts = urlsplit(uri)
    if is_server(uri):
        if parts.username:
            os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        if parts.password:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
        uri = redact(uri)
        os.environ["MLFLOW_TRACKING_URI"] = uri
        _probe_server(uri)
        logging.getLogger("urllib3.connectionpool").addFilter(RetryFilter(uri))
    return uri


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
        """Return whether a message of urllib3 is shown. Its warnings are about retries."""
        if record.levelno != logging.WARNING:
            return True
        if not self.is_said:
            self.is_said = True
            print(
                f"The MLflow server at {self.uri} does not answer. Trying again for some minutes "
                "(MLFLOW_HTTP_REQUEST_MAX_RETRIES sets how often)",
                file=sys.stderr,
                flush=True,
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
        raise _unusable_error(error) from error


def _mlflow_error(error: "MlflowException") -> StoreError:
    """Return the error for what MLflow says about its store."""
    import mlflow

    status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    store = redact(mlflow.get_tracking_uri())
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
    return _unusable_error(error)


def _unreachable_error(uri: str, reason: str) -> StoreError:
    detail = f" ({reason})" if reason else ""
    return StoreError(
        f"The MLflow server at {redact(uri)} does not answer{detail}. Start it, or unset "
        "MLFLOW_TRACKING_URI to use the store in this folder, and run the same command again."
    )


def _unusable_error(error: Exception) -> StoreError:
    import mlflow

    store = redact(mlflow.get_tracking_uri())
    return StoreError(
        f"The MLflow store at {store} cannot be used: {first_line(error) or type(error).__name__}\n"
        "Fix it, or set MLFLOW_TRACKING_URI to another store, and run the command again."
    )


def _make_database(uri: str) -> None:
    """Make an SQLite database unless it is there.

    MLflow cannot repair one that a killed process left half made, so it gets its name at the end.
    If several processes made it at once, most of them would fail.
    """
    import mlflow

    database = sqlite_file(uri)
    if database is None or database.exists():
        return
    if not database.parent.is_dir():
        raise StoreError(
            f"There is no folder {database.parent} for the MLflow store. Create it, or correct "
            "MLFLOW_TRACKING_URI."
        )
    with FileLock(f"{database}.lock"):
        if database.exists():  # another process was faster
            return
        partial = database.with_name(f"{database.name}.partial")
        partial.unlink(missing_ok=True)
        client = mlflow.MlflowClient(tracking_uri=f"{SQLITE}{partial}")
        client.search_experiments()  # makes all tables
        partial.replace(database)


def _open(uri: str) -> "MlflowClient":
    import mlflow

    mlflow.set_tracking_uri(uri)
    _check_database(uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    _check_place(client)
    return client


def _check_database(uri: str) -> None:
    """Fail at once if a database cannot be opened. MLflow retries silently for two minutes."""
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if urlsplit(uri).scheme.partition("+")[0] in DATABASE_ENGINES:
        sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect().close()


def _check_place(client: "MlflowClient") -> None:
    """Refuse an SQLite database whose folder was moved or copied since it was made.

    MLflow stores the absolute path of each experiment's artifacts, so new ones would land in the
    old place.

    Raises:
        StoreError: the folder was moved or copied.
    """
    database = sqlite_file(client.tracking_uri)
    if database is None:
        return
    for experiment in client.search_experiments():
        location = Path(unquote(urlsplit(experiment.artifact_location).path))
        artifacts = location.parent
        is_own = f"{SHARED_VIEW}{VIEW}" in experiment.tags and artifacts.name == ARTIFACTS
        if is_own and artifacts.resolve() != (database.parent / ARTIFACTS).resolve():
            raise StoreError(
                f"The MLflow store {database} expects its artifacts in {artifacts}: its folder was "
                f"moved or copied. Move it back, or change the paths ({MOVED_PAGE}), or start a "
                f"new store: rename {database.name}, and run `sentiment log`."
            )


def open_experiment(
    project: Project, client: "MlflowClient", name: str, description: str, columns: Sequence[str]
) -> str:
    """Return the id of the experiment with this name, which is created if the store lacks it.

    Args:
        columns: what its runs show in `runs_url`, such as "metrics.`val_accuracy`".

    Raises:
        StoreError: the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    view = json.dumps({"selectedColumns": list(columns)})
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        tags = {DESCRIPTION: description, f"{SHARED_VIEW}{VIEW}": view}
        location = _artifact_location(project, client.tracking_uri, name)
        try:
            return str(client.create_experiment(name, location, tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another process has created it.
            return open_experiment(project, client, name, description, columns)
    check_experiment(client, experiment)
    # A person, or another release of this project, may have created the experiment.
    if experiment.tags.get(f"{SHARED_VIEW}{VIEW}") != view:
        client.set_experiment_tag(experiment.experiment_id, f"{SHARED_VIEW}{VIEW}", view)
    return str(experiment.experiment_id)


def check_experiment(client: "MlflowClient", experiment: "Experiment") -> None:
    """Refuse an experiment that was deleted, because MLflow's UI would not show its runs.

    Raises:
        StoreError: the experiment was deleted.
    """
    if experiment.lifecycle_stage == "deleted":
        shown = shlex.quote(redact(client.tracking_uri))
        raise StoreError(
            f"The experiment {experiment.name} was deleted in MLflow. To bring it back: "
            f"MLFLOW_TRACKING_URI={shown} mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}"
        )


def _artifact_location(project: Project, uri: str, experiment: str) -> str | None:
    """Return where a new experiment keeps its artifacts, or None if a server knows that.

    For a database, MLflow would take `mlruns` in the working directory, which may be a temporary
    copy of the project.
    """
    if is_server(uri):
        return None
    database = sqlite_file(uri)
    folder = database.parent if database is not None else project.root
    return str(folder / ARTIFACTS / experiment.replace(" ", "-"))


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the URL of a run's page, on the server or in the UI at its default port."""
    return f"{_experiment_url(uri, experiment_id)}/{run_id}?{TRAINING_PAGES}"


def runs_url(uri: str, experiment_id: str) -> str:
    """Return the URL of the runs of an experiment, on the server or in the UI at its port."""
    return f"{_experiment_url(uri, experiment_id)}?viewStateShareKey={VIEW}&{TRAINING_PAGES}"


def _experiment_url(uri: str, experiment_id: str) -> str:
    base = redact(uri).rstrip("/") if is_server(uri) else MLFLOW_UI
    return f"{base}/#/experiments/{experiment_id}/runs"


def describe_pages(uri: str, experiment_id: str, run_id: str) -> str:
    """Return lines that say where to look at a run and at all runs."""
    return (
        f"To look at it, {how_to_open(uri)}\n"
        f"  {run_url(uri, experiment_id, run_id)}\n"
        f"or, for all runs,\n"
        f"  {runs_url(uri, experiment_id)}"
    )


def how_to_open(uri: str) -> str:
    """Return the words before the address of a page."""
    if is_server(uri):
        return "open"
    return "start `make ui`, and open the address it prints, such as"
