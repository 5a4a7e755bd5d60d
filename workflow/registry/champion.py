"""The champion for commands: as it is served, and promoted and demoted by hand."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import UserError, first_line
from workflow.params import load_params
from workflow.registry import packaging, turns
from workflow.registry import versions as registry
from workflow.runs import logger, store
from workflow.runs.identity import person
from workflow.runs.logger import RunLogger, guarded

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>\d+)")
DEMOTED = "demoted"  # a decision about a version
load = packaging.load


def registered() -> str:
    """The registered model of the data set that params.yaml names; UserError as `load_params`."""
    return registry.model_name(load_params().fetch.name)


def current() -> "ModelVersion":
    """The version that is champion; UserError if there is none."""
    import mlflow

    name = registered()
    store.connect()
    with store.as_user_error():
        return _require_champion(mlflow.MlflowClient(), name)


def _require_champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion":
    version = registry.champion(client, name)
    if version is None:
        raise UserError(
            f"There is no champion of {name} yet: `make repro` or `make promote RUN=…` makes one."
        )
    return version


def uri(chosen: str | None = None) -> str:
    """The address of the champion, or that of a model of MLflow; UserError if there is none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    if not chosen:
        return f"models:/{current().name}@{registry.CHAMPION}"
    store.connect()
    try:
        mlflow.models.get_model_info(chosen)
    except (MlflowException, OSError, ValueError) as error:
        raise UserError(
            f"There is no model {chosen} (option --model, variable MODEL): {first_line(error)}"
        ) from None
    return chosen


def version(chosen: str | None = None) -> "ModelVersion":
    """The champion, or a version that is named by its number; UserError if there is none."""
    import mlflow

    if not chosen:
        return current()
    parts = VERSION.fullmatch(chosen)
    if parts is None:
        raise UserError(
            f"{chosen} (option --model, variable MODEL) names no version of a registered model, "
            "such as models:/imdb-sentiment/1."
        )
    uri(chosen)
    with store.as_user_error():
        return mlflow.MlflowClient().get_model_version(parts["name"], parts["number"])


@guarded
def log_use(log: RunLogger, versions: "Sequence[ModelVersion]") -> None:
    """Record that a run uses these versions; MLflow keeps one record of each."""
    import mlflow
    from mlflow.entities import LoggedModelInput

    models = [LoggedModelInput(model_id(version)) for version in versions]
    mlflow.MlflowClient().log_inputs(log.run.run_id, models=models)


class Outcome(NamedTuple):
    """What was done by hand, in a sentence, and which version is champion now, if one is."""

    champion: str | None
    message: str


def promote(run_id: str) -> Outcome:
    """Make a run's version champion by hand, see `evaluated_version`."""
    import mlflow

    client = mlflow.MlflowClient()
    with store.as_user_error(), turns.of_this_folder():
        version = evaluated_version(client, run_id)
        with turns.turn(client, version.name) as deciding:
            former = registry.champion(deciding, version.name)
            if former is not None and former.version == version.version:
                done = " is champion already."
            else:
                tags = _by_hand(registry.PROMOTED, "promoted by hand")
                registry.make_champion(deciding, version, former, tags)
                done = f", run {run_id}, is champion now."
    return Outcome(str(version.version), registry.described(version) + done)


def evaluated_version(client: "mlflow.MlflowClient", run_id: str) -> "ModelVersion":
    """The version of a run's present evaluation, or its newest; UserError if it has none."""
    versions = registry.versions(client, run_id) if RUN_ID.fullmatch(run_id) else []
    if not versions:
        raise UserError(
            f"Run {run_id} has no registered version: evaluate it with `dvc repro`, or name "
            "another run (`make ui` shows them)."
        )
    digest = client.get_run(run_id).data.tags.get(logger.COMPLETE.format("evaluate"))
    present = (version for version in versions if version.tags.get(registry.EVALUATION) == digest)
    return next(present, versions[0])


def model_id(version: "ModelVersion") -> str:
    """The logged model that a version is; MLflow's search leaves its id out."""
    return str(version.source).removeprefix("models:/")


def demote(name: str) -> Outcome:
    """Take the alias from the champion and give it back to who had it before, if anyone did.

    Who was demoted or deleted meanwhile does not get it back. A UserError is raised where the
    registered model has no champion.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with store.as_user_error(), turns.of_this_folder():
        _require_champion(client, name)  # a model that is not registered has no turns
        with turns.turn(client, name) as deciding:
            demoted = _require_champion(deciding, name)
            before = _before(deciding, demoted)
            if before:
                why = f"version {demoted.version} was demoted"
                registry.tag(deciding, before, _by_hand(registry.PROMOTED, why))
                deciding.set_registered_model_alias(name, registry.CHAMPION, before.version)
            else:
                deciding.delete_registered_model_alias(name, registry.CHAMPION)
            # last: the alias needs a right of its own, and who lacks it leaves no tag that is wrong
            registry.tag(deciding, demoted, _by_hand(DEMOTED, "demoted by hand"))
    number = str(before.version) if before else None
    now = f"version {number} is champion again" if before else "there is no champion now"
    return Outcome(number, f"{registry.described(demoted)} is demoted; {now}.")


def _before(client: "mlflow.MlflowClient", current: "ModelVersion") -> "ModelVersion | None":
    """The nearest champion before this one that is still there and was not demoted."""
    versions = client.search_model_versions(f"name = '{current.name}'")
    others = {str(version.version): version for version in versions}
    former: ModelVersion | None = others.pop(str(current.version))
    while former:
        former = others.pop(former.tags.get(registry.REPLACED, registry.NOBODY), None)
        if former and former.tags.get(registry.DECISION) != DEMOTED:
            return former
    return None


def _by_hand(decision: str, reason: str) -> dict[str, str]:
    return {
        registry.DECISION: decision,
        registry.DECIDED_BY: f"person: {person()}",
        registry.REASON: reason,
    }
