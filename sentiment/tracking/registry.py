"""The registered model of a dataset: its name, its versions, and the champion.

The registered model of IMDB is `imdb-sentiment`, and a table's is named after its file. A version
is the model of a run that was promoted. The champion is the version with the alias `champion`.
"""

import re
from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from sentiment.tracking import experiments

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<number>\d{1,9})|@(?P<alias>[^/@]+))")
CHAMPION = "champion"  # the alias
# Tags of a run and of its version
TABLE = "table"  # the path of the training table in the project; only tables have it
LABELS = "labels"  # a JSON list, in the order of their indices
NO_SUCH_VERSION = (*experiments.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE")  # MLflow's codes


def registered_name(dataset: str) -> str:
    """Return the name of a dataset's registered model, such as `imdb-sentiment`.

    The experiment of the dataset's trainings gets the same name. People may rename either later.
    """
    plain = re.sub(r"[^\w-]+", "-", TABLE_EXTENSION.sub("", dataset)).strip("-")
    if plain != dataset and plain in ("", "imdb", "synthetic"):  # a table of that name
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


def find_champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the champion of a registered model, or None if it has no champion."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in NO_SUCH_VERSION:
            return None
        raise


def register_version(
    client: "MlflowClient", name: str, run: "Run", model: "LoggedModel"
) -> "ModelVersion":
    """Register the model of a run as a version, whose description is the run's, and return it.

    Args:
        name: the name of the registered model, which is made if it is not there.
    """
    from mlflow.exceptions import MlflowException

    description = (
        f"Models that classify the texts of one dataset. The version with the alias `{CHAMPION}` "
        "is the one to use."
    )
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        name,
        f"models:/{model.model_id}",
        run.info.run_id,
        {
            "test_accuracy": f"{run.data.metrics['test_accuracy']:.4f}",
            **{tag: run.data.tags[tag] for tag in (TABLE, LABELS) if tag in run.data.tags},
        },
        description=run.data.tags.get(experiments.DESCRIPTION),
        await_creation_for=0,  # MLflow says that it waits, though the version is ready at once
        model_id=model.model_id,  # without which a server refuses the version
    )


def find_version(client: "MlflowClient", name: str, run_id: str) -> "ModelVersion | None":
    """Return the newest version of a registered model that was made of a run, or None."""
    found = client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'")
    return max(found, key=lambda version: int(version.version), default=None)


def resolve_version(client: "MlflowClient", model_uri: str | None, dataset: str) -> "ModelVersion":
    """Return the version that a URI names, or the champion of a dataset.

    Raises:
        UserError: there is no such version.
    """
    if model_uri:
        return named_version(client, model_uri)
    name = registered_name(dataset)
    champion = find_champion(client, name)
    if champion is None:
        raise UserError(
            f"There is no champion of {name}. `sentiment promote` makes the model in data/ the "
            "first one. To use another model: --model models:/NAME/VERSION"
        )
    return champion


def named_version(client: "MlflowClient", model_uri: str) -> "ModelVersion":
    """Return the version that a URI names, such as models:/imdb-sentiment@champion.

    Raises:
        UserError: there is no such version.
    """
    from mlflow.exceptions import MlflowException

    parts = VERSION_URI.fullmatch(model_uri)
    if parts is None:
        raise UserError(
            f"{model_uri} is not a model version. Use a URI such as models:/imdb-sentiment/1 or "
            "models:/imdb-sentiment@champion."
        )
    try:
        if parts["alias"]:
            return client.get_model_version_by_alias(parts["name"], parts["alias"])
        return client.get_model_version(parts["name"], parts["number"])
    except MlflowException as error:
        if error.error_code not in NO_SUCH_VERSION:
            raise
        raise UserError(f"There is no version {model_uri}: {first_line(error)}") from None


def trained_on(version: "ModelVersion") -> str:
    """Return the path of the table that a version was trained on, or "" if it is not known."""
    return str(version.tags.get(TABLE, ""))


def describe_other_table(version: "ModelVersion", table: str) -> str:
    """Return the line about a champion of another table, or "" if it is the champion of this one.

    Args:
        table: the path of the table.
    """
    path = trained_on(version)
    if not path or path == table:
        return ""
    return f"The champion {version_uri(version)} was trained on {path}, and not on {table}."


def version_uri(version: "ModelVersion") -> str:
    """Return the URI of a version."""
    return f"models:/{version.name}/{version.version}"
