"""The model versions that extras use."""

from typing import TYPE_CHECKING

from sentiment.errors import UserError
from workflow.registry import champion
from workflow.registry.versions import PACKAGE_TAG

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def resolve_own_version(model_uri: str | None) -> "ModelVersion":
    """Return the version that a URI names, or the champion of the dataset in params.yaml.

    Raises:
        UserError: there is no such version, or this project did not register it.
    """
    version = champion.resolve_version(model_uri)
    if PACKAGE_TAG not in version.tags:
        raise UserError(
            f"{champion.model_uri_of(version)} was not registered by this project. Name a version "
            "of its registered model in MODEL."
        )
    return version
