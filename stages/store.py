"""Where runs are kept: MLflow's stock embedded store in the root, or a server.

`MLFLOW_TRACKING_URI` alone moves everything to a server. Without it the store is what a bare
`mlflow ui` in the root shows: `mlflow.db` and `mlruns/`.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from numpy.typing import NDArray

from stages.command import UserError

if TYPE_CHECKING:
    from mlflow.data.numpy_dataset import NumpyDataset

EXPERIMENT = "imdb-lstm"
DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
ANSWER_SECONDS = 5.0


def root() -> Path:
    """The project's root, also for a stage that DVC runs in a temporary copy of it.

    DVC names the root in `DVC_ROOT`; `dvc exp run --temp` and queued experiments run elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def embedded_uri() -> str:
    """The database in the root."""
    return f"sqlite:///{root() / DATABASE}"


def is_embedded(uri: str) -> bool:
    """Whether this is the database in the root, in MLflow's own relative spelling too."""
    path = uri.removeprefix("sqlite:///")
    return uri != path and Path(path).resolve() == root() / DATABASE


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the database in the root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded_uri()


def is_server(uri: str) -> bool:
    """Whether the store is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def public(uri: str) -> str:
    """The address without user name and password, fit to be shown."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def explained() -> Iterator[None]:
    """Turn what MLflow and its database raise within the block into a UserError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        uri = tracking_uri()
        reason = str(error).partition("\n")[0].replace(uri, public(uri)) or type(error).__name__
        raise UserError(
            f"The MLflow store at {public(uri)} cannot be used: {reason}\n"
            "Mend it, or name another in MLFLOW_TRACKING_URI, and run `dvc repro` again."
        ) from error


def connect() -> str:
    """Point MLflow at the store, make the experiment if there is none, and return its id.

    Raises:
        UserError: the server does not answer, the database cannot be used, or the experiment
            was deleted.
    """
    uri = tracking_uri()
    if is_server(uri):
        _knock(uri)
    with explained():
        import mlflow

        mlflow.set_tracking_uri(uri)
        return _embedded_experiment() if is_embedded(uri) else _experiment()


def _knock(uri: str) -> None:
    """Fail within seconds where MLflow's own retries would take minutes."""
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS)
    except (requests.RequestException, ValueError) as error:
        reason = type(error).__name__
        raise UserError(
            f"The MLflow server at {public(uri)} does not answer ({reason}). "
            "Start it, or unset MLFLOW_TRACKING_URI to use the store in this folder."
        ) from None


def _experiment() -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return client.create_experiment(EXPERIMENT)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"The experiment {EXPERIMENT} was deleted from the store. "
            f"Restore it: mlflow experiments restore --experiment-id {experiment.experiment_id}"
        )
    return str(experiment.experiment_id)


def _embedded_experiment() -> str:
    """Make the database one process at a time: MLflow's own creation of it is a race."""
    from filelock import FileLock

    _link_artifacts()
    with FileLock(root() / f"{DATABASE}.lock"):
        experiment_id = _experiment()
        _make_movable(experiment_id)
    return experiment_id


def _link_artifacts() -> None:
    """Lead a temporary copy's artifacts, whose locations are relative, to the root."""
    if Path.cwd() != root() and not Path(ARTIFACTS).exists():
        (root() / ARTIFACTS).mkdir(exist_ok=True)
        Path(ARTIFACTS).symlink_to(root() / ARTIFACTS)


def _make_movable(experiment_id: str) -> None:
    """Let the experiment's artifacts follow the folder when it is moved or copied.

    MLflow makes every local artifact location absolute when it creates an experiment, but
    resolves a relative one against the working directory, and runs and models inherit it.
    """
    location = f"{ARTIFACTS}/{experiment_id}"
    with closing(sqlite3.connect(root() / DATABASE, timeout=60)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ?1"
            " WHERE experiment_id = ?2 AND artifact_location <> ?1",
            (location, experiment_id),
        )


def dataset(
    name: str, x: NDArray[Any], y: NDArray[Any], source: Path, digest: str
) -> "NumpyDataset":
    """Describe token ids and labels from the folder `source` as MLflow keeps data sets."""
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    origin = get_dataset_source_from_json(json.dumps({"uri": str(source)}), "local")
    return from_numpy(x, targets=y, source=origin, name=name, digest=digest)
