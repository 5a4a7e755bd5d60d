"""The model versions that extras use, and the runs that use them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sentiment.errors import UserError
from workflow import provenance, tracking
from workflow.registry import champion
from workflow.registry.versions import PACKAGE_TAG
from workflow.tracking import Run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def resolve_project_version(model_uri: str | None) -> "ModelVersion":
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


@contextmanager
def run_with_versions(
    versions: "Sequence[ModelVersion]",
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[Run]:
    """Create a run that uses model versions, and end it with the block.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    tags = {**tags, **provenance.provenance_tags(), **provenance.machine_tags()}
    with tracking.plain_run(name, params, tags) as run:
        tracking.log_model_inputs(run, versions)
        yield run
