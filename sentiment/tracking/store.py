"""The tracking store of MLflow: in the project's root, or on a server.

Without `MLFLOW_TRACKING_URI`, the tracking store is the one that `mlflow ui` shows in the root:
`mlflow.db`, with artifacts in `mlruns/` beside it.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.errors import UserError, first_line, redact
from sentiment.project import paths

DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
SQLITE = "sqlite:///"
MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens by default
# Packages whose errors mean that the store cannot be used.
STORE_PACKAGES = (
    "azure",
    "boto3",
    "botocore",
    "google",
    "mlflow",
    "requests",
    "sqlalchemy",
    "sqlite3",
    "urllib3",
)
UNREACHABLE = "Max retries exceeded"  # in MLflow's message, which has several lines of detail
# MLflow's codes for what does not exist. A server with users returns the second one also for what
# the user must not see.
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description
# MLflow keeps a view of an experiment that somebody shared in a tag with this prefix.
SHARED_VIEW = "mlflow.sharedViewState."  # no part of MLflow's API
VIEW = "metrics"  # the view of an experiment's runs with its own columns
LOCK_SECONDS = 60.0  # other processes hold the lock for a few seconds
MOVED_PAGE = "docs/pipeline.md#a-moved-folder"
INVALID_HOST = "Invalid Host header"  # MLflow's response to a host name that it does not serve


class StoreError(UserError):
    """A store of runs or trials cannot be used now. It may work again later."""


def tracking_uri() -> str:
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
    return f"{SQLITE}{os.path.normpath(paths.root() / path)}" if path != uri else uri


def is_server(uri: str) -> bool:
    """Return whether a tracking store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def run_url(experiment_id: str, run_id: str) -> str:
    """Return the URL of a run's page, on the server or in the UI at its default port."""
    return f"{_experiment_url(experiment_id)}/{run_id}"


def runs_url(experiment_id: str) -> str:
    """Return the URL of the runs of an experiment, on the server or in the UI at its port."""
    return f"{_experiment_url(experiment_id)}?viewStateShareKey={VIEW}"


def _experiment_url(experiment_id: str) -> str:
    uri = tracking_uri()
    base = redact(uri).rstrip("/") if is_server(uri) else MLFLOW_UI
    return f"{base}/#/experiments/{experiment_id}/runs"


def describe_run(experiment_id: str, run_id: str) -> str:
    """Return a line that says where to look at a run."""
    if is_server(tracking_uri()):
        return f"Run: {run_url(experiment_id, run_id)}"
    return f"Run {run_id}. To look at it: mlflow ui"


def describe_pages(experiment_id: str, run_id: str) -> str:
    """Return lines that say where to look at a run and at all runs.

    With the UI at its default port, none is longer than 80 characters, so that a terminal does not
    break the URLs.
    """
    pages = f"  {run_url(experiment_id, run_id)}\nor, for all runs,\n  {runs_url(experiment_id)}"
    if is_server(tracking_uri()):
        return f"To look at it, open\n{pages}"
    is_default = tracking_uri() == f"{SQLITE}{paths.root() / DATABASE}"
    command = "`make ui` or `mlflow ui`" if is_default else "`make ui`"
    return f"To look at it, start {command}, and open\n{pages}"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of MLflow, its database and its artifact store into a `StoreError`.

    Raises:
        StoreError: the store cannot be used, or the user lacks a permission on the server.
    """
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        # A store may need any package that is not installed.
        if package not in STORE_PACKAGES and not isinstance(error, ModuleNotFoundError):
            raise
        raise _store_error(error) from error


def _store_error(error: Exception) -> StoreError:
    from mlflow.exceptions import MlflowException

    status = 0
    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    store = redact(tracking_uri())
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
        return StoreError(
            f"The MLflow server at {store} does not answer. Start it, or unset MLFLOW_TRACKING_URI "
            "to use the store in this folder."
        )
    return StoreError(
        f"The MLflow store at {store} cannot be used: {first_line(error) or type(error).__name__}\n"
        "Fix it, or set MLFLOW_TRACKING_URI to another store, and run the command again."
    )


def connect(experiment: str, description: str = "", columns: Sequence[str] = ()) -> str:
    """Point MLflow at the tracking store and an experiment, and return the experiment's id.

    Args:
        experiment: its name. It is created if the store does not have it.
        columns: what its runs show in `runs_url`, such as "metrics.`val_accuracy`".

    Raises:
        StoreError: the store cannot be used, or its folder was moved or copied.
    """
    with store_errors():
        import mlflow

        _move_credentials_to_environment()
        uri = tracking_uri()
        view = json.dumps({"selectedColumns": list(columns)})
        tags = {DESCRIPTION: description, f"{SHARED_VIEW}{VIEW}": view}
        with exclusive():
            _make_database(uri)
            _check_database(uri)
            _check_place(uri)
            experiment_id = _experiment(uri, experiment, tags)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment_id=experiment_id)
    return experiment_id


@contextmanager
def exclusive() -> Iterator[None]:
    """Let one process at a time create a database, or decide about a champion.

    These are all processes that use the same SQLite database, or those of this project.
    """
    database = sqlite_file(tracking_uri()) or paths.root() / DATABASE
    if not database.parent.is_dir():  # FileLock would create it
        raise StoreError(
            f"There is no folder {database.parent} for the MLflow store. Create it, or correct "
            "MLFLOW_TRACKING_URI."
        )
    lock = FileLock(f"{database}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except OSError as error:
        raise _store_error(error) from error
    try:
        yield
    finally:
        lock.release()


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite database, or None if a tracking store is something else."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def connect_to_read() -> None:
    """Point MLflow at an existing tracking store. Nothing is created, so it may be read-only.

    Raises:
        StoreError: the store cannot be used, does not exist, or its folder was moved or copied.
    """
    with store_errors():
        import mlflow

        _move_credentials_to_environment()
        uri = tracking_uri()
        database = sqlite_file(uri)
        if database is not None and not database.exists():
            raise StoreError(
                f"There is no MLflow store {database} yet. `dvc repro` makes it, or set "
                "MLFLOW_TRACKING_URI to another store."
            )
        _check_database(uri)
        _check_place(uri)
        mlflow.set_tracking_uri(uri)


def _move_credentials_to_environment() -> None:
    """Move user name and password out of the URI, which MLflow prints, to MLflow's variables."""
    uri = tracking_uri()
    parts = urlsplit(uri)
    if not is_server(uri):
        return
    if parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    if parts.password:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    os.environ["MLFLOW_TRACKING_URI"] = redact(uri)


def _make_database(uri: str) -> None:
    """Make an SQLite database unless it is there.

    MLflow cannot repair one that a killed process left half made, so it gets its name at the end.
    """
    import mlflow

    database = sqlite_file(uri)
    if database is None or database.exists():
        return
    partial = database.with_name(f"{database.name}.partial")
    partial.unlink(missing_ok=True)
    mlflow.MlflowClient(tracking_uri=f"{SQLITE}{partial}").search_experiments()  # makes all tables
    partial.replace(database)


def _check_database(uri: str) -> None:
    """Fail at once if a database cannot be opened. MLflow retries silently for two minutes."""
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if urlsplit(uri).scheme.partition("+")[0] in DATABASE_ENGINES:
        sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect().close()


def _check_place(uri: str) -> None:
    """Refuse an SQLite database whose folder was moved or copied since it was made.

    MLflow stores the absolute path of each experiment's artifacts, so new ones would land in the
    old place.

    Raises:
        StoreError: it was.
    """
    import mlflow

    database = sqlite_file(uri)
    if database is None:
        return
    for experiment in mlflow.MlflowClient(tracking_uri=uri).search_experiments():
        location = Path(unquote(urlsplit(experiment.artifact_location).path))
        artifacts = location.parent
        is_own = f"{SHARED_VIEW}{VIEW}" in experiment.tags and artifacts.name == ARTIFACTS
        if is_own and artifacts.resolve() != (database.parent / ARTIFACTS).resolve():
            raise StoreError(
                f"The MLflow store {database} expects its artifacts in {artifacts}: its folder was "
                f"moved or copied. Move it back, or change the paths ({MOVED_PAGE}), or start a "
                f"new store: rename {database.name}, and run `sentiment sync`."
            )


def _experiment(uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Return the id of an experiment in a store, which is created if needed.

    Raises:
        StoreError: the experiment was deleted.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A server knows where its artifacts are. For a database, MLflow would take `mlruns` in the
        # working directory, which may be a temporary copy of the project.
        database = sqlite_file(uri)
        folder = database.parent if database is not None else paths.root()
        location = None if is_server(uri) else str(folder / ARTIFACTS / name.replace(" ", "-"))
        try:
            return str(client.create_experiment(name, location, dict(tags)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(uri, name, tags)  # another process created it
    if experiment.lifecycle_stage == "deleted":
        shown = shlex.quote(redact(uri))
        raise StoreError(
            f"The experiment {name} was deleted in MLflow. To bring it back: "
            f"MLFLOW_TRACKING_URI={shown} mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}"
        )
    view = f"{SHARED_VIEW}{VIEW}"
    if experiment.tags.get(view) != tags[view]:  # a person made it, or the columns are new
        client.set_experiment_tag(experiment.experiment_id, view, tags[view])
    return str(experiment.experiment_id)
