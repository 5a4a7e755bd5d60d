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

from sentiment.errors import NotAllowedError, StoreError, UserError, first_line
from workflow import files

if TYPE_CHECKING:
    import mlflow

EXPERIMENT = "imdb-lstm"
DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
ARTIFACTS = "mlruns"
ANSWER_SECONDS = 5.0
RESTORED = "restored_from"  # tag: the run that a store did not have, of which this is made again
UI = "http://127.0.0.1:5000"  # where `make ui` serves
INVALID_HOST = "Invalid Host header"  # what MLflow says to who calls it by a name that it has not
# what MLflow says of what is not there; a server with users does not tell that from what one may
# not see
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
# a server that dies must not hold a training up: MLflow would try for minutes
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def embedded_uri() -> str:
    """The database in the root."""
    return f"{SQLITE}{files.root() / DATABASE}"


def is_embedded(uri: str) -> bool:
    """Whether this is the database in the root."""
    path = uri.removeprefix(SQLITE)
    return uri != path and Path(path).resolve() == files.root() / DATABASE


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the database in the root.

    A relative path to a database is one from the root, wherever a stage runs: DVC's temporary
    copies of the project are removed, and with them all that is in them.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or embedded_uri()
    path = uri.removeprefix(SQLITE)
    return f"{SQLITE}{files.root() / path}" if path != uri and path else uri


def is_server(uri: str) -> bool:
    """Whether the store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def public(uri: str) -> str:
    """The address without user name and password, fit to be shown."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def as_user_error() -> Iterator[None]:
    """Turn what MLflow and its database raise within the block into a UserError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, ModuleNotFoundError) as error:
        uri = tracking_uri()
        reason = first_line(error).replace(uri, public(uri)) or type(error).__name__
        if (refused := _refusal(error)) is not None:
            raise refused from error
        raise StoreError(
            f"The MLflow store at {public(uri)} cannot be used: {reason}\n"
            "Fix it, or name another in MLFLOW_TRACKING_URI, and run the command again."
        ) from error


def _refusal(error: Exception) -> StoreError | None:
    """What to say where a server with users refuses one; None for another error."""
    from mlflow.exceptions import MlflowException

    status = 0
    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    server, user = public(tracking_uri()), os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    if status == HTTPStatus.UNAUTHORIZED:
        return StoreError(
            f"The MLflow server at {server} does not know {user or 'you'} by this password. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run the command again."
        )
    if status == HTTPStatus.FORBIDDEN and INVALID_HOST in str(error):
        return StoreError(
            f"The MLflow server at {server} does not answer to this name. Its administrator adds "
            "it to allowed_hosts in server.yaml."
        )
    if status == HTTPStatus.FORBIDDEN:
        return NotAllowedError(
            f"The MLflow server at {server} does not let {user or 'you'} do this. Ask who runs it "
            "for the right to change the experiment and the registered model."
        )
    return None


class Attempt:
    """Something that is left out where the store fails.

    Attributes:
        failed: whether the store has failed.
    """

    def __init__(self) -> None:
        self.failed = False


@contextmanager
def tolerating_errors(consequence: str) -> Iterator[Attempt]:
    """In the block, do what the command can do without: a store that fails only ends the block.

    That is printed on standard error, with the first line of what the store raised.

    Args:
        consequence: what a failure means, in a clause such as "The report is not logged".
    """
    made = Attempt()
    try:
        with as_user_error():
            yield made
    except (UserError, OSError) as error:
        made.failed = True
        print(f"{consequence}: {first_line(error)}", file=sys.stderr, flush=True)


def connect() -> str:
    """Point MLflow at the store, make the experiment if there is none, and return its id.

    Raises:
        UserError: the server does not answer, the database cannot be used, or the experiment
            was deleted.
    """
    for name, text in PATIENCE.items():
        os.environ.setdefault(name, text)
    if is_server(tracking_uri()):
        _move_credentials()
        _check_server(tracking_uri())
    uri = tracking_uri()
    # MLflow prints a traceback of what it raises anyway, and `as_user_error` says in words
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    with as_user_error():
        import mlflow

        mlflow.set_tracking_uri(uri)
        return _embedded_experiment() if is_embedded(uri) else _experiment()


def _move_credentials() -> None:
    """Move name and password out of the address, which MLflow prints, to its own variables."""
    parts = urlsplit(tracking_uri())
    for name, value in (("USERNAME", parts.username), ("PASSWORD", parts.password)):
        if value:
            os.environ[f"MLFLOW_TRACKING_{name}"] = unquote(value)
    os.environ["MLFLOW_TRACKING_URI"] = public(tracking_uri())


def _check_server(uri: str) -> None:
    """Fail within seconds where MLflow's own retries would take minutes."""
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS, verify=authority())
    except (OSError, ValueError) as error:  # among them the request's, and no such certificate
        reason = type(error).__name__
        raise StoreError(
            f"The MLflow server at {public(uri)} does not answer ({reason}). "
            "Start it, or unset MLFLOW_TRACKING_URI to use the store in this folder."
        ) from None


def authority() -> str | bool:
    """By whom a server's certificate has to be signed, as MLflow's own variables say."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or not insecure


def _experiment() -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT) or _made(client)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"The experiment {EXPERIMENT} was deleted from the tracking store. "
            f"Restore it: mlflow experiments restore --experiment-id {experiment.experiment_id}"
        )
    return str(experiment.experiment_id)


def _made(client: "mlflow.MlflowClient") -> "mlflow.entities.Experiment":
    """The experiment, which another process may make at the same time."""
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    # a server knows where; by itself MLflow would take the working directory's `mlruns`
    place = None if is_server(tracking_uri()) else str(files.root() / ARTIFACTS / EXPERIMENT)
    try:
        return client.get_experiment(client.create_experiment(EXPERIMENT, place))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    named = f"name = '{EXPERIMENT}'"
    return client.search_experiments(ViewType.ALL, filter_string=named)[0]


def _embedded_experiment() -> str:
    """Make the database one process at a time: MLflow's own creation of it is a race."""
    from filelock import FileLock

    _link_artifacts()
    with FileLock(files.root() / f"{DATABASE}.lock"):
        experiment_id = _experiment()
        _make_movable(experiment_id)
    return experiment_id


def _link_artifacts() -> None:
    """Lead a temporary copy's artifacts, whose locations are relative, to the root."""
    if Path.cwd() != files.root() and not Path(ARTIFACTS).exists():
        (files.root() / ARTIFACTS).mkdir(exist_ok=True)
        Path(ARTIFACTS).symlink_to(files.root() / ARTIFACTS)


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


def find_run(client: "mlflow.MlflowClient", run_id: str) -> "mlflow.entities.Run | None":
    """The run, unless the store does not have it or it was deleted."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def find_recorded(
    client: "mlflow.MlflowClient", experiment_id: str, run_id: str
) -> "mlflow.entities.Run | None":
    """The run that outputs name, or the one that was made from them where that is missing."""
    restored = f"tags.{RESTORED} = '{run_id}'"
    return find_run(client, run_id) or next(
        iter(client.search_runs([experiment_id], restored)), None
    )


def link(experiment_id: str, run_id: str = "", server: str = UI) -> str:
    """Address of a run's page, or of the table of runs: MLflow's front page shows another view.

    Args:
        experiment_id: the experiment.
        run_id: the run, or nothing for the table.
        server: what serves the store, where `MLFLOW_TRACKING_URI` does not name a server.
    """
    uri = tracking_uri()
    page = f"{public(uri).rstrip('/') if is_server(uri) else server}/#/experiments/{experiment_id}"
    return f"{page}/runs/{run_id}" if run_id else f"{page}/runs?workflowType=machine_learning"
