"""The tracking store of MLflow: its database, its experiments, and the pages of its UI."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentiment.project.documents import replacing, wrong_folder_error
from sentiment.project.paths import Project
from sentiment.tracking.address import (
    SQLITE,
    StoreError,
    is_server,
    point_mlflow_at,
    shown_uri,
    sqlite_file,
    store_errors,
    tracking_uri,
    unusable_error,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

ARTIFACTS = "mlruns"
MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens by default
# A server with users returns the second code also for what the user must not see.
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description
# MLflow keeps a view of an experiment that somebody shared in a tag with this prefix.
SHARED_VIEW = "mlflow.sharedViewState."  # no part of MLflow's API
# In the query of a URL: MLflow's pages for training runs, not those for language models
TRAINING_PAGES = "workflowType=machine_learning"
VIEW = "metrics"  # the view of an experiment's runs with its own columns
MOVED_PAGE = "docs/pipeline.md#a-moved-folder"


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


def experiment_runs(
    client: "MlflowClient",
    experiment_ids: Sequence[str],
    filter_string: str = "",
    page_size: int = 1000,
    is_deleted: bool = False,
) -> "Iterator[Run]":
    """Yield the runs of some experiments that match a filter, the newest first.

    Args:
        page_size: number of runs that are read at once.
        is_deleted: whether to yield the deleted runs, instead of the others.
    """
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if is_deleted else ViewType.ACTIVE_ONLY
    token: str | None = None
    while experiment_ids:
        page = client.search_runs(
            [*experiment_ids], filter_string, view, max_results=page_size, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def check_experiment(client: "MlflowClient", experiment: "Experiment") -> None:
    """Refuse an experiment that was deleted, because MLflow's UI would not show its runs.

    Raises:
        StoreError: the experiment was deleted.
    """
    if experiment.lifecycle_stage == "deleted":
        shown = shlex.quote(shown_uri(client.tracking_uri))
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
    base = shown_uri(uri).rstrip("/") if is_server(uri) else MLFLOW_UI
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
