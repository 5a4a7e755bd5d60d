"""The tracking store of MLflow: in the project's root, or on a server.

Without `MLFLOW_TRACKING_URI`, the tracking store is the one that `mlflow ui` shows in the root:
`mlflow.db`, with artifacts in `mlruns/`.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.errors import StoreError, UserError, first_line, redact
from workflow import files
from workflow.loopback import LOOPBACK

DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
SQLITE = "sqlite:///"
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
UI_PORT = 5000
RESPONSE_TIMEOUT = 20.0  # seconds
# MLflow's own limits let a server that does not answer hold a training up for minutes.
MLFLOW_HTTP_LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
# MLflow's codes for what does not exist. A server with users returns the second one also for what
# the user must not see.
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description
# MLflow keeps a view of an experiment that somebody shared in a tag with this prefix.
SHARED_VIEW = "mlflow.sharedViewState."
VIEW = "metrics"  # the view of an experiment's runs with a column for each of its metrics
WORKFLOW = "workflowType=machine_learning"  # without it, MLflow shows its view for language models
INVALID_HOST = "Invalid Host header"  # MLflow's response to a host name that it does not serve


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the URI of the database in the root.

    A relative path to a database starts from the root, wherever a stage runs: DVC removes its
    temporary copies of the project.

    Raises:
        StoreError: the URI is malformed, or names a database in memory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DATABASE}"
    try:
        urlsplit(uri)
    except ValueError as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI={redact(uri)} is malformed ({error}). Correct it, or unset it to "
            "use the store in this folder."
        ) from None
    if uri in IN_MEMORY:
        raise StoreError(
            f"MLFLOW_TRACKING_URI={uri} is a database in memory, which would be lost when the "
            "command ends. Name a file, such as sqlite:///mlflow.db."
        )
    path = uri.removeprefix(SQLITE)
    return f"{SQLITE}{files.root() / path}" if path != uri else uri


def is_local() -> bool:
    """Return whether the tracking store is the database in the root."""
    path = tracking_uri().removeprefix(SQLITE)
    return path != tracking_uri() and Path(path).resolve() == files.root() / DATABASE


def is_server(uri: str) -> bool:
    """Return whether a tracking store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def run_url(experiment_id: str, run_id: str) -> str:
    """Return the URL of a run's page, on the server or in the UI at its default port."""
    return f"{_experiment_url(experiment_id)}/{run_id}?{WORKFLOW}"


def runs_url(experiment_id: str, port: int = UI_PORT) -> str:
    """Return the URL of the runs of an experiment, on the server or in the UI at a port."""
    return f"{_experiment_url(experiment_id, port)}?{WORKFLOW}&viewStateShareKey={VIEW}"


def _experiment_url(experiment_id: str, port: int = UI_PORT) -> str:
    uri = tracking_uri()
    base = redact(uri).rstrip("/") if is_server(uri) else f"http://{LOOPBACK}:{port}"
    return f"{base}/#/experiments/{experiment_id}/runs"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of MLflow, its database and its artifact store into a `StoreError`.

    Raises:
        StoreError: the store cannot be used, or the user lacks a permission on the server.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        # Each kind of database and artifact store has exceptions of its own. Python's own ones are
        # mistakes in a program, except for a package that a store needs and that is not installed.
        is_builtin = type(error).__module__ == "builtins"
        if is_builtin and not isinstance(error, ModuleNotFoundError):
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
    return StoreError(
        f"The MLflow store at {store} cannot be used: {first_line(error) or type(error).__name__}\n"
        "Fix it, or set MLFLOW_TRACKING_URI to another store, and run the command again."
    )


def connect(experiment: str, description: str = "", columns: Sequence[str] = ()) -> str:
    """Point MLflow at the tracking store and an experiment, and return the experiment's id.

    Args:
        experiment: its name. It is created if the store does not have it.
        description: the description of a new experiment.
        columns: what its runs show in `runs_url`, such as "metrics.`val_accuracy`".

    Raises:
        StoreError: the server or the database cannot be used.
    """
    for name, value in MLFLOW_HTTP_LIMITS.items():
        os.environ.setdefault(name, value)
    # MLflow prints tracebacks of errors that `store_errors` turns into messages.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    with store_errors():
        import mlflow

        if is_server(tracking_uri()):
            _move_credentials_to_environment()
            _check_server(tracking_uri())
        elif not is_local() or (files.root() / DATABASE).exists():
            _check_database(tracking_uri())
        mlflow.set_tracking_uri(tracking_uri())
        view = json.dumps({"selectedColumns": list(columns)})
        tags = {DESCRIPTION: description, f"{SHARED_VIEW}{VIEW}": view}
        if is_local():
            experiment_id = _local_experiment(experiment, tags)
        else:
            experiment_id = _experiment(tracking_uri(), experiment, tags)
        location = mlflow.set_experiment(experiment_id=experiment_id).artifact_location
        if is_server(tracking_uri()) and location == f"{ARTIFACTS}/{experiment_id}":
            # MLflow would write the artifacts into this folder, where nobody else finds them.
            raise StoreError(
                f"The MLflow server at {redact(tracking_uri())} shows the store of a project's "
                "folder, which can only be looked at. Unset MLFLOW_TRACKING_URI, or name another "
                "server."
            )
    return experiment_id


def _move_credentials_to_environment() -> None:
    """Move user name and password out of the URI, which MLflow prints, to MLflow's variables."""
    parts = urlsplit(tracking_uri())
    if parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    if parts.password:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    os.environ["MLFLOW_TRACKING_URI"] = redact(tracking_uri())


def _check_server(uri: str) -> None:
    """Fail within seconds if the server does not answer. MLflow's retries take minutes."""
    import requests

    verify: bool | str = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS") == "true":
        verify = False
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=RESPONSE_TIMEOUT, verify=verify)
    except (OSError, ValueError) as error:  # `requests` raises these, as does a bad certificate
        raise StoreError(
            f"The MLflow server at {redact(uri)} does not answer ({type(error).__name__}). "
            "Start it, or unset MLFLOW_TRACKING_URI to use the store in this folder."
        ) from None


def _check_database(uri: str) -> None:
    """Fail at once if the database cannot be opened. MLflow retries silently for two minutes."""
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    dialect, _, _ = urlsplit(uri).scheme.partition("+")
    if dialect in DATABASE_ENGINES:
        engine = sqlalchemy.create_engine(uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _experiment(uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Return the id of an experiment in a store, which is created if needed."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A server knows where its artifacts are. For a database, MLflow would take `mlruns` in the
        # working directory, which may be a temporary copy of the project.
        location = None if is_server(uri) else str(files.root() / ARTIFACTS)
        try:
            return str(client.create_experiment(name, location, dict(tags)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(uri, name, tags)  # another process created it
    return str(experiment.experiment_id)


def _local_experiment(name: str, tags: Mapping[str, str]) -> str:
    """Return the id of an experiment in the root's database. Create both if needed.

    The database is created by one process at a time, since MLflow's creation is a race, and under
    another name, so that a process that is killed leaves no half of it.
    """
    _link_artifacts()
    database = files.root() / DATABASE
    with FileLock(files.root() / f"{DATABASE}.lock"):
        if not database.exists():
            partial = database.with_name(f"{DATABASE}.partial")
            partial.unlink(missing_ok=True)  # left by a process that was killed
            _experiment(f"{SQLITE}{partial}", name, tags)
            partial.replace(database)
        experiment_id = _experiment(f"{SQLITE}{database}", name, tags)
        _make_movable(database, experiment_id)
    return experiment_id


def _link_artifacts() -> None:
    """Let a temporary copy of the project use the root's artifacts, given by relative paths."""
    if Path.cwd() != files.root() and not Path(ARTIFACTS).exists():
        (files.root() / ARTIFACTS).mkdir(exist_ok=True)
        Path(ARTIFACTS).symlink_to(files.root() / ARTIFACTS)


def _make_movable(database: Path, experiment_id: str) -> None:
    """Make an experiment's artifact location relative, so that the project can be moved.

    MLflow makes a local artifact location absolute when it creates an experiment, and its API
    cannot change the location later. MLflow resolves a relative one against the working directory,
    and runs and models inherit it. A location outside the project was chosen by the user, and
    stays. This is the only place that goes around MLflow's API.
    """
    import mlflow

    experiment = mlflow.MlflowClient(f"{SQLITE}{database}").get_experiment(experiment_id)
    location = Path(experiment.artifact_location.removeprefix("file://"))
    if not location.is_absolute() or not location.is_relative_to(files.root() / ARTIFACTS):
        return
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (f"{ARTIFACTS}/{experiment_id}", experiment_id),
        )
