"""Tables of the same name in other folders, which share an experiment and a registered model."""

from typing import TYPE_CHECKING

from sentiment.params import FetchParams
from sentiment.project.files.paths import Project
from sentiment.tracking import address, experiments, registry, store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def describe_other_tables(project: Project, fetch: FetchParams) -> str:
    """Return the line about runs of other tables in the experiment of a table, or "".

    No store is made. If it cannot be used, the line says why.
    """
    try:
        database = address.sqlite_file(address.tracking_uri(project))
        if database is not None and not database.exists():
            return ""
        client = store.connect_to_read(project)
        with address.store_errors():
            paths = find_other_tables(client, fetch.dataset_name, fetch.table_path)
    except address.StoreError as error:
        return f"MLflow could not say whether other tables have runs of this name. {error}"
    if not paths:
        return ""
    return (
        f"The experiment {registry.registered_name(fetch.dataset_name)} has runs of "
        f"{', '.join(sorted(paths))}. Rename one of the files to keep their runs and champions "
        "apart."
    )


def find_other_tables(client: "MlflowClient", dataset: str, path: str) -> set[str]:
    """Return the paths of other tables that have runs in the experiment of a dataset.

    Args:
        dataset: the name of the dataset.
        path: the path of its table.
    """
    experiment = client.get_experiment_by_name(registry.registered_name(dataset))
    if experiment is None:
        return set()
    runs = experiments.experiment_runs(client, [experiment.experiment_id])
    tables = {run.data.tags.get(registry.TABLE, path) for run in runs}
    return tables - {path}
