"""Experiments of the tracking store, and their runs."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sentiment.project.files.paths import Project
from sentiment.tracking.address import StoreError, is_server, shown_uri, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

ARTIFACTS = "mlruns"
# A server with users returns the second code also for what the user must not see.
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description
# MLflow keeps a view of an experiment that somebody shared in a tag with this prefix.
SHARED_VIEW = "mlflow.sharedViewState."  # no part of MLflow's API
VIEW = "metrics"  # the shared view of an experiment's runs with its own columns


def open_experiment(
    project: Project, client: "MlflowClient", name: str, description: str, columns: Sequence[str]
) -> str:
    """Return the id of the experiment with this name, which is created if the store lacks it.

    Args:
        columns: what its runs show in the view `VIEW`, such as "metrics.`val_accuracy`".

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
