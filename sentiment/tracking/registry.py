"""The registered model of a dataset: its versions, and the champion.

The registered model of IMDB is `imdb-sentiment`, and a table's is named after its file. A version
is one MLflow model without pickle, and brings the code that predicts.

The champion is the version with the alias `champion`, see `sentiment.tracking.champion`.
"""

import re
from typing import TYPE_CHECKING

from sentiment.tracking import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
# What the table of runs shows in MLflow's UI
RUN_COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`val_accuracy_kept`",
    "params.`train.architecture`",
    "params.`train.cell`",
    "params.`train.units`",
)
RUN_ID_PATTERN = re.compile(r"[0-9a-f]{32}")
CHAMPION = "champion"  # the alias
# Tags of a version
ACCURACY = "test_accuracy"
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


def register_version(model_id: str, run_id: str, dataset: str) -> "ModelVersion":
    """Register a logged model as a version of its dataset's registered model, and return it."""
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
    return client.create_model_version(
        name,
        f"models:/{model_id}",
        run_id,
        {DATASET: dataset},
        await_creation_for=0,  # MLflow says that it waits, though the version is ready at once
        model_id=model_id,  # without which a server refuses the version
    )


def write_card(version: "ModelVersion", card: str, accuracy: float) -> None:
    """Give a version its card as description, and its test accuracy as a tag."""
    import mlflow

    client = mlflow.MlflowClient()
    client.update_model_version(version.name, version.version, card)
    client.set_model_version_tag(version.name, version.version, ACCURACY, f"{accuracy:.4f}")


def find_version(run_id: str) -> "ModelVersion | None":
    """Return the version that `register_version` made of a run, or None if it was deleted.

    People may register the run's models as well. Those versions are left alone.
    """
    import mlflow

    found = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    own = [each for each in found if each.name == registered_name(each.tags.get(DATASET, ""))]
    return max(own, key=lambda version: int(version.version), default=None)


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
