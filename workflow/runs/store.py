"""Where runs are kept: MLflow's stock embedded store in the root, or a server.

`MLFLOW_TRACKING_URI` alone moves everything to a server. Without it the store is what a bare
`mlflow ui` in the root shows: `mlflow.db` and `mlruns/`.
"""

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.errors import NotAllowedError, StoreError, UserError, first_line, redacted
from workflow import files

if TYPE_CHECKING:
    import mlflow

EXPERIMENT = "imdb-lstm"
DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
ARTIFACTS = "mlruns"
ANSWER_SECONDS = 20.0
RESTORED = "restored_from"  # tag: the run that a store did not have, of which this is made again
INVALID_HOST = "Invalid Host header"  # MLflow's answer to a host name that it does not allow
# what MLflow says of what is not there; a server with users does not tell that from what one may
# not see
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
# a server that dies must not hold a training up: MLflow would try for minutes
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the database in the root.

    A relative path to a database is one from the root, wherever a stage runs: DVC's temporary
    copies of the project are removed, and with them all that is in them.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DATABASE}"
    path = uri.removeprefix(SQLITE)
    return f"{SQLITE}{files.root() / path}" if path not in ("", uri) else uri


def is_embedded() -> bool:
    """Whether the store is the database in the root."""
    uri = tracking_uri()
    path = uri.removeprefix(SQLITE)
    return path != uri and Path(path).resolve() == files.root() / DATABASE


def is_server(uri: str) -> bool:
    """Whether the store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


@contextmanager
def as_user_error() -> Iterator[None]:
    """Turn what MLflow and its database raise within the block into a UserError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, ModuleNotFoundError) as error:
        raise _store_error(error) from error


def _store_error(error: Exception) -> StoreError:
    """What to say of what MLflow or its database raised."""
    from mlflow.exceptions import MlflowException

    status = 0
    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    server, user = redacted(tracking_uri()), os.environ.get("MLFLOW_TRACKING_USERNAME") or "you"
    if status == HTTPStatus.UNAUTHORIZED:
        return StoreError(
            f"The MLflow server at {server} does not know {user} by this password. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run the command again."
        )
    if status == HTTPStatus.FORBIDDEN and INVALID_HOST not in str(error):
        return NotAllowedError(
            f"The MLflow server at {server} does not let {user} do this. Ask who runs it for the "
            "right to change the experiment and the registered model."
        )
    return StoreError(
        f"The MLflow store at {server} cannot be used: {first_line(error) or type(error).__name__}"
        "\nFix it, or name another in MLFLOW_TRACKING_URI, and run the command again."
    )


@contextmanager
def tolerating_errors(consequence: str) -> Iterator[None]:
    """In the block, do what the command can do without: a store that fails only ends the block.

    Then the consequence, a clause such as "The report is not logged", is printed on standard error
    with the first line of what the store raised.
    """
    try:
        with as_user_error():
            yield
    except (UserError, OSError) as error:
        print(f"{consequence}: {first_line(error)}", file=sys.stderr, flush=True)


def connect() -> str:
    """Point MLflow at the store, make the experiment if there is none, and return its id.

    A UserError says why the server or the database cannot be used.
    """
    for name, text in PATIENCE.items():
        os.environ.setdefault(name, text)
    # MLflow prints a traceback of what it raises anyway, and `as_user_error` says in words
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    with as_user_error():
        import mlflow

        if is_server(tracking_uri()):
            _move_credentials()
            _check_server(tracking_uri())
        mlflow.set_tracking_uri(tracking_uri())
        return _embedded_experiment() if is_embedded() else _experiment()


def _move_credentials() -> None:
    """Move name and password out of the address, which MLflow prints, to its own variables."""
    parts = urlsplit(tracking_uri())
    for name, value in (("USERNAME", parts.username), ("PASSWORD", parts.password)):
        if value:
            os.environ[f"MLFLOW_TRACKING_{name}"] = unquote(value)
    os.environ["MLFLOW_TRACKING_URI"] = redacted(tracking_uri())


def _check_server(uri: str) -> None:
    """Fail within seconds where MLflow's own retries would take minutes."""
    import requests
    from mlflow.utils.credentials import get_default_host_creds

    try:
        verify = get_default_host_creds(uri).verify  # type: ignore[no-untyped-call]
        requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS, verify=verify)
    except (OSError, ValueError) as error:  # among them the request's, and no such certificate
        reason = type(error).__name__
        raise StoreError(
            f"The MLflow server at {redacted(uri)} does not answer ({reason}). "
            "Start it, or unset MLFLOW_TRACKING_URI to use the store in this folder."
        ) from None


def _experiment() -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        # a server knows where; by itself MLflow would take the working directory's `mlruns`
        place = None if is_server(tracking_uri()) else str(files.root() / ARTIFACTS / EXPERIMENT)
        return str(client.create_experiment(EXPERIMENT, place))
    return str(experiment.experiment_id)


def _embedded_experiment() -> str:
    """Make the database one process at a time: MLflow's own creation of it is a race."""
    if Path.cwd() != files.root() and not Path(ARTIFACTS).exists():
        # in a temporary copy: its artifacts, whose locations are relative, are the root's
        (files.root() / ARTIFACTS).mkdir(exist_ok=True)
        Path(ARTIFACTS).symlink_to(files.root() / ARTIFACTS)
    with FileLock(files.root() / f"{DATABASE}.lock"):
        experiment_id = _experiment()
        _make_movable(experiment_id)
    return experiment_id


def _make_movable(experiment_id: str) -> None:
    """Let the experiment's artifacts follow the folder when it is moved or copied.

    MLflow makes every local artifact location absolute when it creates an experiment, but
    resolves a relative one against the working directory, and runs and models inherit it.
    """
    location = f"{ARTIFACTS}/{experiment_id}"
    with closing(sqlite3.connect(files.root() / DATABASE, timeout=60)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ?1"
            " WHERE experiment_id = ?2 AND artifact_location <> ?1",
            (location, experiment_id),
        )


def find_run(
    client: "mlflow.MlflowClient", experiment_id: str, run_id: str
) -> "mlflow.entities.Run | None":
    """The run, or the one that was made again of it where the store has not this one."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage == "active":
            return run
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
    return next(iter(client.search_runs([experiment_id], f"tags.{RESTORED} = '{run_id}'")), None)
