"""Runs of what is done with models, such as the score of a file, or a sweep.

Trainings on a dataset are in the experiment of the dataset. Operations are in another one, so that
the table of trainings stays a table of trainings.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sentiment.project.paths import Project
from sentiment.tracking import address, registry, runs, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion


def open_operations(project: Project, client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment of the operations on a registered model.

    Args:
        name: the name of the registered model.
    """
    description = f"What was done with versions of `{name}`: scores of files, and sweeps."
    return store.open_experiment(project, client, f"{name} operations", description, ())


@contextmanager
def operation_run(
    project: Project,
    client: "MlflowClient",
    version: "ModelVersion",
    name: str,
    params: Mapping[str, Any],
) -> "Iterator[Run]":
    """Start a run that uses a version, and end it with the block.

    Raises:
        StoreError: the store cannot be used.
    """
    from mlflow.entities import LoggedModelInput, Param

    with address.store_errors():
        experiment_id = open_operations(project, client, version.name)
        run_id = runs.create_run(client, experiment_id, name, {})
    with runs.active_run(run_id) as run, address.store_errors():
        values = {"model": registry.version_uri(version), **params}
        client.log_batch(
            run.info.run_id, params=[Param(key, str(value)) for key, value in values.items()]
        )
        model_id = str(version.source).removeprefix("models:/")
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(model_id)])
        yield run
