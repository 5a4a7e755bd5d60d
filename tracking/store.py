"""The tracking store of MLflow: in the project's root, or on a server.

Without `MLFLOW_TRACKING_URI`, the tracking store is the one that `mlflow ui` shows in the root:
`mlflow.db`, with artifacts in `mlruns/`.

Two places go around MLflow's API: `_make_movable`, and the tag of the shared view.
"""

import json
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.errors import StoreError, first_line, redact
from workflow import files
from workflow.loopback import LOOPBACK

DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
SQLITE = "sqlite:///"
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
UI_PORT = 5000
UI_TIMEOUT = 2.0  # seconds until a UI on this machine counts as absent
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
SHARED_VIEW = "mlflow.sharedViewState."
VIEW = "metrics"  # the view of an experiment's runs with a column for each of its metrics
WORKFLOW = "workflowType=machine_learning"  # without it, MLflow shows its view for language models
INVALID_HOST = "Invalid Host header"  # MLflow's response to a host name that it does not serve
# The artifact location of an experiment in a project's folder, see `_make_movable`
MOVABLE_LOCATION = re.compile(rf"{ARTIFACTS}/\d+")


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
    path = Path(tracking_uri().removeprefix(SQLITE))
    # The database itself may be a link to a file on another disk.
    is_database = tracking_uri().startswith(SQLITE) and path.name == DATABASE
    return is_database and path.parent.resolve() == files.root()


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


def describe_pages(experiment_id: str, run_id: str, has_run: bool | None) -> str:
    """Return lines that say where to look at a run and at all runs.

    Args:
        experiment_id: the experiment.
        run_id: the run.
        has_run: see `ui_has_run`.
    """
    pages = f"  the run:  {run_url(experiment_id, run_id)}\n  all runs: {runs_url(experiment_id)}"
    if has_run is None:
        return f"To look at it, start `sentiment ui`, and open\n{pages}"
    if not has_run:
        return (
            f"To look at it: sentiment ui --port {UI_PORT + 1} (port {UI_PORT} shows another "
            "project or program)"
        )
    return f"To look at it, open\n{pages}"


def ui_has_run(run_id: str) -> bool | None:
    """Return whether MLflow's UI shows a run: that of the server, or the one at the default port.

    None: nobody answers at the default port.
    """
    import requests

    if is_server(tracking_uri()):
        return True
    url = f"http://{LOOPBACK}:{UI_PORT}/api/2.0/mlflow/runs/get"
    try:
        # trust_env: a proxy has no business on the loopback address.
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(url, params={"run_id": run_id}, timeout=UI_TIMEOUT)
    except requests.ConnectionError:
        return None
    except requests.RequestException:
        return False
    return response.ok and run_id in response.text


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
        description: the description of a new experiment.
        columns: what its runs show in `runs_url`, such as "metrics.`val_accuracy`".

    Raises:
        StoreError: the store cannot be used, or is another project's.
    """
    with store_errors():
        import mlflow

        _move_credentials_to_environment()
        uri = tracking_uri()
        view = json.dumps({"selectedColumns": list(columns)})
        tags = {DESCRIPTION: description, f"{SHARED_VIEW}{VIEW}": view}
        if is_local():
            experiment_id = _local_experiment(experiment, tags)
        else:
            _check_database(uri)
            _refuse_store_of_a_project(uri)
            experiment_id = _experiment(uri, experiment, tags)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment_id=experiment_id)
    return experiment_id


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite database, or None if a tracking store is something else."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def connect_to_read() -> None:
    """Point MLflow at the tracking store, without a right to write it.

    Raises:
        StoreError: the store cannot be used, or does not exist.
    """
    with store_errors():
        import mlflow

        _move_credentials_to_environment()
        uri = tracking_uri()
        database = sqlite_file(uri)
        if database is not None and not database.exists():
            raise StoreError(
                f"There is no MLflow store {database} yet. `sentiment repro` makes it, or set "
                "MLFLOW_TRACKING_URI to another store."
            )
        _check_database(uri)
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


def _check_database(uri: str) -> None:
    """Fail at once if a database cannot be opened. MLflow retries silently for two minutes."""
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if urlsplit(uri).scheme.partition("+")[0] in DATABASE_ENGINES:
        sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect().close()


def _refuse_store_of_a_project(uri: str) -> None:
    """Refuse the store of a project's folder, whose artifacts nobody would find elsewhere."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    view_type = mlflow.entities.ViewType.ALL
    for experiment in client.search_experiments(view_type=view_type):
        if MOVABLE_LOCATION.fullmatch(experiment.artifact_location):
            raise StoreError(
                f"The MLflow store at {redact(uri)} is the one of a project's folder, which can "
                "only be looked at. Unset MLFLOW_TRACKING_URI, or name another store."
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
        location = None if is_server(uri) else str(files.root() / ARTIFACTS)
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


def _local_experiment(name: str, tags: Mapping[str, str]) -> str:
    """Return the id of an experiment in the root's database. Create both if needed.

    The database is created by one process at a time, since MLflow's creation is a race, and under
    another name, so that a process that is killed leaves no half of it.
    """
    _link_artifacts()
    database = files.root() / DATABASE
    with FileLock(f"{database}.lock"):
        if database.exists():
            _check_database(f"{SQLITE}{database}")
        else:
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
    stays.
    """
    artifacts = files.root() / ARTIFACTS
    locations = (str(artifacts), str(artifacts / experiment_id))
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? "
            "WHERE experiment_id = ? AND artifact_location IN (?, ?, ?, ?)",
            (
                f"{ARTIFACTS}/{experiment_id}",
                experiment_id,
                *locations,
                *(f"file://{location}" for location in locations),
            ),
        )
