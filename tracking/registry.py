"""The registered model of a dataset: its versions, and the champion.

The registered model of IMDB is `imdb-sentiment`, and a table's is named after its file. A version
is one MLflow model without pickle, and brings the code that predicts.

The champion is the version with the alias `champion`, see `tracking.champion`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracking import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
# What the table of runs shows in MLflow's UI
RUN_COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`val_accuracy`",
    "params.`train.architecture`",
    "params.`train.cell`",
    "params.`train.units`",
)
RUN_ID = re.compile(r"[0-9a-f]{32}")
CHAMPION = "champion"  # the alias
# Tags of a version
ACCURACY_TAG = "test_accuracy"
DATASET = "dataset"


def registered_name(dataset: str) -> str:
    """Return the name of a dataset's registered model, such as `imdb-sentiment`."""
    plain = re.sub(r"[^\w-]+", "-", TABLE_EXTENSION.sub("", dataset)).strip("-")
    if plain != dataset and plain in ("", "imdb", "synthetic"):  # a table of that name
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


def connect_experiment(dataset: str) -> str:
    """Connect to the experiment of the trainings on a dataset, and return its id.

    Raises:
        StoreError: the store cannot be used.
    """
    return store.connect(
        registered_name(dataset),
        f"Trainings on `{dataset}`: each run is a model with its evaluation, and a version of the "
        "registered model of the same name.",
        RUN_COLUMNS,
    )


def register_version(
    source: str, run_id: str, dataset: str, tags: Mapping[str, str], description: str
) -> "ModelVersion":
    """Register a logged model as a version of its dataset's registered model, and return it.

    Args:
        source: the URI of the logged model.
        run_id: its run.
        dataset: the name of the dataset.
        tags: further tags of the version.
        description: the card.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    name = registered_name(dataset)
    line = (
        f"Models that classify the texts of `{dataset}`, one version for each run. The version "
        f"with the alias `{CHAMPION}` is the one to use."
    )
    try:
        client.create_registered_model(name, description=line)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = source.removeprefix("models:/")  # without which a server refuses the version
    return client.create_model_version(
        name,
        source,
        run_id,
        {**tags, DATASET: dataset},
        description=description,
        await_creation_for=0,  # MLflow says that it waits, though the version is ready at once
        model_id=model_id,
    )


def replace_version(old: "ModelVersion", new: "ModelVersion") -> None:
    """Delete a version whose model is lost. The version of the same run gets its alias."""
    import mlflow

    client = mlflow.MlflowClient()
    champion = find_champion(old.name)
    if champion is not None and champion.version == old.version:
        client.set_registered_model_alias(old.name, CHAMPION, new.version)
    client.delete_model_version(old.name, old.version)


def versions_of_run(run_id: str) -> "list[ModelVersion]":
    """Return the versions of a dataset's registered model that were made from a run, newest first.

    People may register the run's models as well. Those versions are left alone.
    """
    import mlflow

    found = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    own = [each for each in found if each.name == registered_name(each.tags.get(DATASET, ""))]
    return sorted(own, key=lambda version: -int(version.version))


def all_versions(name: str) -> "list[ModelVersion]":
    """Return the versions of a registered model, the newest first."""
    import mlflow

    found = mlflow.MlflowClient().search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def find_champion(name: str) -> "ModelVersion | None":
    """Return the champion of a registered model, or None if it has no champion."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in (*store.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE"):
            return None
        raise
