"""The registered model of a data set: a version for each evaluated run, and its champion.

The alias `champion` moves by the rule in `params.yaml` (`promote`) as a run is evaluated, or by
hand; the version's tags say which, and why.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import UserError, first_line
from workflow import files
from workflow.params import Promote
from workflow.registry import packaging, turns
from workflow.registry.names import DATASET, own_name
from workflow.registry.packaging import Parts
from workflow.registry.rule import NEEDED, Decision, Evaluated, decide, read_evaluated
from workflow.runs import logger, store
from workflow.runs.identity import person
from workflow.runs.logger import Run

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
SERVED_DIGEST = "served.sha256"  # tag of a version: digest of all that it answers by
RUN_ID = re.compile(r"[0-9a-f]{32}")
PROMOTED, DEMOTED = "champion", "demoted"
# tags of a version: what was decided, by whom (`rule` or a person) and why
DECISION, DECIDED_BY, REASON = "promote.decision", "promote.by", "promote.reason"
REPLACED = "promote.replaced"  # tag: the version that was champion before, or `NOBODY`
NOBODY = "none"
# tags: the champion that a version was tested against last, and as which candidate, from 1
AGAINST, NUMBER = "promote.against", "promote.candidate"
# tag of a champion: the number of each candidate tested against it, also of deleted ones, as JSON
CANDIDATES = "promote.candidates"
BY_RULE = "rule"
EVALUATION = "evaluate.sha256"  # tag: digest of the about.json of what it was decided by


def register(run: Run, parts: Parts, folder: Path, tags: Mapping[str, str], rule: Promote) -> None:
    """Make the run's served model a version of the registered one, once; let the rule decide.

    Each version keeps the evaluation that it was decided by: the run's own may change later.

    Args:
        run: the run.
        parts: what the model is made from.
        folder: what `evaluate` wrote about it.
        tags: of the version; `dataset` says which registered model it is of.
        rule: the `promote` section.

    Raises:
        UserError: as `own_name`.
    """
    import mlflow

    client, name = mlflow.MlflowClient(), own_name(tags[DATASET])
    known = {**tags, EVALUATION: files.sha256(folder / files.ABOUT)}
    with turns.of_this_folder():
        version = _version(client, name, run, parts, known)
        logger.upload(run, folder, NEEDED, _place(version))
        with turns.turn(client, name) as deciding:
            promote_by_rule(deciding, version, folder, rule)


def _version(
    client: "mlflow.MlflowClient", name: str, run: Run, parts: Parts, tags: Mapping[str, str]
) -> "ModelVersion":
    """The version of just this model, which is made if there is none."""
    served = packaging.digest(parts)
    for each in versions(client, run.run_id):
        if each.name == name and each.tags.get(SERVED_DIGEST) == served:
            _tag(client, each, tags)
            return each
    model_id = packaging.log_model(client, run, parts)
    _ensure_registered(client, name)
    return client.create_model_version(
        name,
        f"models:/{model_id}",
        run.run_id,
        tags={SERVED_DIGEST: served, **tags},
        model_id=model_id,  # a server wants it, to believe the address
    )


def _place(version: "ModelVersion") -> str:
    """Where a version's evaluation is among its run's artifacts."""
    return f"versions/{version.version}"


def versions(client: "mlflow.MlflowClient", run_id: str) -> "list[ModelVersion]":
    """The versions that were made from a run, the newest first."""
    found = client.search_model_versions(f"run_id = '{run_id}'")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def _ensure_registered(client: "mlflow.MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name, description="Raw text of a review to label and probability of positive."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tag(client: "mlflow.MlflowClient", version: "ModelVersion", tags: Mapping[str, str]) -> None:
    for key, text in tags.items():
        client.set_model_version_tag(version.name, version.version, key, text)


def champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion | None":
    """The version of a registered model that is champion, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in (*store.ABSENT, "INVALID_PARAMETER_VALUE"):
            return None
        raise


def promote_by_rule(
    client: "mlflow.MlflowClient", made: "ModelVersion", folder: Path, rule: Promote
) -> None:
    """Let the rule decide about a version by its folder, in a turn of this client.

    It does not if a person did, or if the version is champion already.
    """
    version = client.get_model_version(made.name, made.version)
    current = champion(client, version.name)
    by_person = version.tags.get(DECIDED_BY, BY_RULE) != BY_RULE
    if by_person or (current and current.version == version.version):
        return
    candidates: dict[str, int] = json.loads(current.tags.get(CANDIDATES, "{}")) if current else {}
    number = candidates.setdefault(str(version.version), max(candidates.values(), default=0) + 1)
    decision = _decide_against(current, read_evaluated(folder), rule, number)
    verdict = PROMOTED if decision.promoted else "not promoted"
    whom = f" (the champion: version {current.version})" if current else ""
    tags = {DECISION: verdict, DECIDED_BY: BY_RULE, REASON: decision.reason + whom}
    if current and decision.tested:
        _tag(client, current, {CANDIDATES: json.dumps(candidates)})
        tags |= {AGAINST: str(current.version), NUMBER: str(number)}
    if decision.promoted:
        _make_champion(client, version, current, tags)
    else:
        _tag(client, version, tags)
    print(f"{_named(version)}: {verdict}, {decision.reason}")


def _decide_against(
    current: "ModelVersion | None", candidate: Evaluated, rule: Promote, number: int
) -> Decision:
    """Decide; a champion whose evaluation is lost keeps its place, and holds nobody else up."""
    from mlflow.exceptions import MlflowException

    try:
        return decide(candidate, evaluated_of(current) if current else None, rule, number)
    except (UserError, MlflowException, OSError) as error:
        why = "it was changed" if isinstance(error, UserError) else first_line(error)
        return Decision(False, f"the champion's evaluation cannot be read: {why}")


def evaluated_of(version: "ModelVersion") -> Evaluated:
    """What the rule needs of a version, from its run; UserError if it is not as it was."""
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        place = f"runs:/{version.run_id}/{_place(version)}"
        folder = Path(mlflow.artifacts.download_artifacts(place, dst_path=scratch))
        files.checked(folder / files.ABOUT, {files.ABOUT: version.tags.get(EVALUATION, "")})
        return read_evaluated(folder)


def _make_champion(
    client: "mlflow.MlflowClient",
    version: "ModelVersion",
    current: "ModelVersion | None",
    tags: Mapping[str, str],
) -> None:
    """Move the alias, once the version says why: one without a reason is never champion."""
    _tag(client, version, {**tags, REPLACED: str(current.version) if current else NOBODY})
    client.set_registered_model_alias(version.name, CHAMPION, version.version)


class Outcome(NamedTuple):
    """What was done by hand, in a sentence, and which version is champion now, if one is."""

    champion: str | None
    message: str


def promote(run: str) -> Outcome:
    """Make a run's version champion by hand.

    Of several, that is the one of the run's present evaluation.

    Args:
        run: the run's id.

    Raises:
        UserError: the run has no version.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with store.as_user_error(), turns.of_this_folder():
        version = evaluated_version(client, run)
        with turns.turn(client, version.name) as deciding:
            current = champion(deciding, version.name)
            already = current is not None and current.version == version.version
            if not already:
                _make_champion(deciding, version, current, _by_hand(PROMOTED, "promoted by hand"))
    done = " is champion already." if already else f", run {run}, is champion now."
    return Outcome(str(version.version), _named(version) + done)


def _named(version: "ModelVersion") -> str:
    return f"Version {version.version} of {version.name}"


def model_id(version: "ModelVersion") -> str:
    """The logged model that a version is; MLflow's search leaves its id out."""
    return str(version.source).removeprefix("models:/")


def evaluated_version(client: "mlflow.MlflowClient", run_id: str) -> "ModelVersion":
    """The version of a run's present evaluation, or its newest; UserError if it has none."""
    found = versions(client, run_id) if RUN_ID.fullmatch(run_id) else []
    if not found:
        raise UserError(
            f"Run {run_id} has no registered version: evaluate it with `dvc repro`, or name "
            "another run (`make ui` shows them)."
        )
    evaluation = client.get_run(run_id).data.tags.get(logger.COMPLETE.format("evaluate"))
    return next((each for each in found if each.tags.get(EVALUATION) == evaluation), found[0])


def demote(name: str) -> Outcome:
    """Take the alias from the champion and give it back to who had it before, if anyone did.

    Who was demoted or deleted meanwhile does not get it back.

    Args:
        name: of the registered model.

    Raises:
        UserError: there is no champion.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with store.as_user_error(), turns.of_this_folder():
        _require_champion(client, name)  # a model that is not registered has no turns
        with turns.turn(client, name) as deciding:
            return _demote(deciding, _require_champion(deciding, name))


def _require_champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion":
    current = champion(client, name)
    if current is None:
        raise UserError(f"There is no champion of {name}.")
    return current


def _demote(client: "mlflow.MlflowClient", current: "ModelVersion") -> Outcome:
    before = _before(client, current)
    if before:
        _tag(client, before, _by_hand(PROMOTED, f"version {current.version} was demoted"))
        client.set_registered_model_alias(current.name, CHAMPION, before.version)
        now = f"version {before.version} is champion again"
    else:
        client.delete_registered_model_alias(current.name, CHAMPION)
        now = "there is no champion now"
    # last: the alias needs a right of its own, and who lacks it leaves no tag that is not so
    _tag(client, current, _by_hand(DEMOTED, "demoted by hand"))
    return Outcome(str(before.version) if before else None, f"{_named(current)} is demoted; {now}.")


def _before(client: "mlflow.MlflowClient", current: "ModelVersion") -> "ModelVersion | None":
    """The nearest champion before this one that is still there and was not demoted."""
    found = client.search_model_versions(f"name = '{current.name}'")
    others = {str(each.version): each for each in found if each.version != current.version}
    version = others.pop(current.tags.get(REPLACED, NOBODY), None)
    while version and version.tags.get(DECISION) == DEMOTED:
        version = others.pop(version.tags.get(REPLACED, NOBODY), None)
    return version


def _by_hand(decision: str, reason: str) -> dict[str, str]:
    return {DECISION: decision, DECIDED_BY: f"person: {person()}", REASON: reason}
