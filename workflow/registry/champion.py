"""The champion for commands: find it, and promote or demote a version by hand."""

import re
from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import UserError, first_line
from workflow import files, provenance, store, tracking
from workflow.params import load_params
from workflow.registry import versions
from workflow.tracking import calls_store

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>\d+)")
DEMOTED = "demoted"  # value of `DECISION_TAG`


class ChampionChange(NamedTuple):
    """The number of the version that is now the champion, if there is one, and a message."""

    champion: str | None
    message: str


def registered_model_name() -> str:
    """Return the registered model of the dataset in params.yaml."""
    return versions.model_name(load_params().fetch.name)


@calls_store
def champion_version(name: str | None = None) -> "ModelVersion":
    """Return the champion.

    Args:
        name: name of the registered model. None: the model of the dataset in params.yaml.

    Raises:
        UserError: the registered model has no champion.
    """
    import mlflow

    store.connect()
    return _require_champion(mlflow.MlflowClient(), name or registered_model_name())


def _require_champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion":
    version = versions.find_champion(client, name)
    if version is None:
        raise UserError(
            f"There is no champion of {name} yet: `make repro` or `make promote RUN=…` makes one."
        )
    return version


@calls_store
def resolve_version(model_uri: str | None) -> "ModelVersion":
    """Return the version that a URI names, or the champion of the dataset in params.yaml.

    Raises:
        UserError: there is no such version.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not model_uri:
        return champion_version()
    parts = VERSION_URI.fullmatch(model_uri)
    if parts is None:
        raise UserError(
            f"{model_uri} is not a model version. Use a URI such as models:/imdb-sentiment/1 "
            "(option --model, variable MODEL)."
        )
    store.connect()
    try:
        return mlflow.MlflowClient().get_model_version(parts["name"], parts["number"])
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        raise UserError(
            f"There is no model version {model_uri} (option --model, variable MODEL): "
            f"{first_line(error)}"
        ) from None


def model_uri_of(version: "ModelVersion") -> str:
    """Return the URI of a version."""
    return f"models:/{version.name}/{version.version}"


@calls_store
def promote(run_id: str) -> ChampionChange:
    """Make the version of a run the champion, whatever the rule decided.

    Raises:
        UserError: the run has no version.
    """
    import mlflow

    store.connect()
    client = mlflow.MlflowClient()
    version = evaluated_version(run_id)
    previous = versions.find_champion(client, version.name)
    title = versions.version_title(version)
    if previous and previous.version == version.version:
        return ChampionChange(str(version.version), f"{title} is already the champion.")
    tags = _decision_by_hand(versions.PROMOTED, "promoted by hand")
    versions.set_champion(client, version, previous, tags)
    return ChampionChange(str(version.version), f"{title}, run {run_id}, is now the champion.")


@calls_store
def evaluated_version(run_id: str) -> "ModelVersion":
    """Return the version of a run's present evaluation, or the run's newest version.

    Raises:
        UserError: the run has no version.
    """
    import mlflow

    found = versions.versions_of_run(run_id) if RUN_ID.fullmatch(run_id) else []
    if not found:
        raise UserError(
            f"Run {run_id} has no registered version. Evaluate it with `dvc repro`, or name "
            "another run (`make ui` shows them)."
        )
    tags = mlflow.MlflowClient().get_run(run_id).data.tags
    digest = tags.get(tracking.COMPLETE.format(files.EVALUATE.name))
    for version in found:
        if version.tags.get(versions.EVALUATION_TAG) == digest:
            return version
    return found[0]


@calls_store
def demote(name: str) -> ChampionChange:
    """Take the alias from the champion, and give it back to the champion before.

    A version that was demoted or deleted in the meantime does not get it back.

    Raises:
        UserError: the registered model has no champion.
    """
    import mlflow

    store.connect()
    client = mlflow.MlflowClient()
    demoted = _require_champion(client, name)
    previous = _previous_champion(client, demoted)
    # Tag last: moving the alias needs its own permission, and without it no wrong tag remains.
    if previous:
        reason = f"version {demoted.version} was demoted"
        tags = _decision_by_hand(versions.PROMOTED, reason)
        client.set_registered_model_alias(name, versions.CHAMPION_ALIAS, previous.version)
        versions.set_version_tags(client, previous, tags)
        number = str(previous.version)
        outcome = f"version {number} is the champion again"
    else:
        client.delete_registered_model_alias(name, versions.CHAMPION_ALIAS)
        number = None
        outcome = "there is no champion now"
    tags = _decision_by_hand(DEMOTED, "demoted by hand")
    versions.set_version_tags(client, demoted, tags)
    return ChampionChange(number, f"{versions.version_title(demoted)} is demoted; {outcome}.")


def _previous_champion(
    client: "mlflow.MlflowClient", champion: "ModelVersion"
) -> "ModelVersion | None":
    """Return the latest champion before this one that still exists and was not demoted."""
    found = client.search_model_versions(f"name = '{champion.name}'")
    others = {str(version.version): version for version in found}
    previous: ModelVersion | None = others.pop(str(champion.version))
    while previous:
        replaced = previous.tags.get(versions.REPLACED_TAG, versions.NO_VERSION)
        previous = others.pop(replaced, None)
        if previous and previous.tags.get(versions.DECISION_TAG) != DEMOTED:
            return previous
    return None


def _decision_by_hand(decision: str, reason: str) -> dict[str, str]:
    return {
        versions.DECISION_TAG: decision,
        versions.DECIDED_BY_TAG: f"person: {provenance.user_name()}",
        versions.REASON_TAG: reason,
    }
