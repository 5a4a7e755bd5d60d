"""The tracking store of MLflow: open it, make its database, and check that it was not moved."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.project.files.documents import replacing, wrong_folder_error
from sentiment.project.files.paths import Project
from sentiment.tracking.address import (
    SQLITE,
    StoreError,
    point_mlflow_at,
    sqlite_file,
    store_errors,
    tracking_uri,
    unusable_error,
)
from sentiment.tracking.experiments import ARTIFACTS, SHARED_VIEW, VIEW

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(project: Project) -> "MlflowClient":
    """Point MLflow at the tracking store, and return a client. An SQLite database is created.

    Raises:
        StoreError: the store cannot be used, or its folder was moved or copied.
    """
    uri = point_mlflow_at(tracking_uri(project))
    with store_errors():
        _make_database(uri)
        return _open(uri)


def connect_to_read(project: Project) -> "MlflowClient":
    """Point MLflow at an existing tracking store, which may be read-only, and return a client.

    Raises:
        StoreError: the store cannot be used, does not exist, or its folder was moved or copied.
        UserError: this is no folder of the project.
    """
    uri = point_mlflow_at(tracking_uri(project))
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        if not project.dvc_yaml.exists():
            raise wrong_folder_error(project.dvc_yaml)
        raise StoreError(
            f"There is no MLflow store {database} yet. Run `dvc repro`, which makes it, or "
            "set MLFLOW_TRACKING_URI to another store."
        )
    with store_errors():
        return _open(uri)


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
        with replacing(database) as partial:
            client = mlflow.MlflowClient(tracking_uri=f"{SQLITE}{partial}")
            client.search_experiments()  # makes all tables


def _open(uri: str) -> "MlflowClient":
    """Return a client of a store that answers.

    Raises:
        StoreError: the folder of the database was moved or copied, or MLflow has no store of this
            kind.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(uri)
    _check_database(uri)
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise unusable_error(error) from error
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
                f"moved or copied. Move it back, or start a new store: rename {database.name}, and "
                "run `sentiment log`."
            )
