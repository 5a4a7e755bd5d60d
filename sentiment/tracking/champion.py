"""Which version is the champion, and why.

The champion is the version with the alias `champion`. The tags `decision` and `reason` of a version
say what was decided about it and why. A champion counts the candidates that were tested
against it in its tag `tested_candidates`.

A decision is written in the order `tested_candidates`, `reason`, alias, `decision`. One without the
tag `decision` was interrupted, and is made again. The alias may be set already then.
"""

from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from sentiment.project.manifest import EvaluateManifest
from sentiment.tracking import store
from sentiment.tracking.promotion import (
    Decision,
    compare_with_champion,
    small_test_set_note,
    why_not_compared,
)
from sentiment.tracking.registry import CHAMPION, all_versions, find_champion, find_version
from sentiment.tracking.store import StoreError
from sentiment.tracking.versions import Evaluation, download_evaluation

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# Tags of a version
DECISION = "decision"
REASON = "reason"
TESTED_CANDIDATES = "tested_candidates"  # of a champion
# Decisions
PROMOTED = "promoted"
NOT_PROMOTED = "not promoted"
# Reasons for a promotion without a test
FIRST = "there was no champion before"
BY_A_PERSON = "promoted by a person"


def decide(version: "ModelVersion", candidate: Evaluation[EvaluateManifest], alpha: float) -> str:
    """Let the rule decide about a version by its predictions, unless it was decided about.

    Args:
        alpha: see `sentiment.tracking.promotion`.

    Returns:
        The decision in words and, for a promotion, the command that undoes it.
    """
    if DECISION in version.tags:
        return describe_decision(version)
    with store.exclusive():
        champion = find_champion(version.name)
        decided = [each for each in all_versions(version.name) if DECISION in each.tags]
        if champion is None and decided:  # somebody deleted the alias, or the champion
            decision = Decision(is_promoted=False, reason=no_champion_reason(decided))
        elif champion is None:
            reason = FIRST + small_test_set_note(candidate.predictions)
            decision = Decision(is_promoted=True, reason=reason)
        elif champion.version == version.version:  # a decision to promote it was cut short
            reason = champion.tags.get(REASON, BY_A_PERSON)
            decision = Decision(is_promoted=True, reason=reason)
        else:
            decision = compare_candidate(candidate, champion, alpha)
        return write_decision(version, champion, decision)


def no_champion_reason(decided: "list[ModelVersion]") -> str:
    """Return why nothing is decided without a champion, and what to do.

    Args:
        decided: the versions that were decided about.
    """
    promoted = [version for version in decided if version.tags[DECISION] == PROMOTED]
    named = (promoted or decided)[0]
    return (
        f"no version has the alias {CHAMPION}. To make version {named.version} the champion "
        f"({named.tags[DECISION]} before): sentiment promote {named.run_id}"
    )


def compare_candidate(
    candidate: Evaluation[EvaluateManifest], champion: "ModelVersion", alpha: float
) -> Decision:
    """Return the decision about a candidate by its test against the champion. Count the test."""
    import mlflow

    try:
        other = download_evaluation(str(champion.run_id))
    except StoreError:  # the next publication decides
        raise
    except UserError as error:
        problem = f"the champion's evaluation cannot be read: {first_line(error)}"
        return Decision(is_promoted=False, reason=problem)
    reason = why_not_compared(candidate, other)
    if reason is not None:
        return Decision(is_promoted=False, reason=reason)
    # A decision that is cut short after this counts twice, which makes a promotion rarer.
    number = int(champion.tags.get(TESTED_CANDIDATES, 0)) + 1
    client = mlflow.MlflowClient()
    client.set_model_version_tag(champion.name, champion.version, TESTED_CANDIDATES, str(number))
    return compare_with_champion(candidate.predictions, other.predictions, alpha, number)


def promote_run(run_id: str) -> str:
    """Make the version of a run the champion, whatever the rule decided.

    Returns:
        The decision in words, and the command that undoes it.

    Raises:
        UserError: the run has no version, or was deleted.
    """
    import mlflow

    version = find_version(run_id)
    if version is None:
        raise UserError(
            f"No version is registered of a run {run_id}. Name another run, or run "
            "`sentiment sync` where its data/ is."
        )
    if mlflow.get_run(run_id).info.lifecycle_stage == "deleted":
        raise UserError(
            f"Run {run_id} was deleted. To bring it back: mlflow runs restore --run-id {run_id}"
        )
    with store.exclusive():
        champion = find_champion(version.name)
        decision = Decision(is_promoted=True, reason=BY_A_PERSON)
        return write_decision(version, champion, decision)


def write_decision(
    version: "ModelVersion", champion: "ModelVersion | None", decision: Decision
) -> str:
    """Write a decision into tags and alias, and return it in words.

    Args:
        version: the version that it is about.
        champion: the champion before.
    """
    import mlflow

    client = mlflow.MlflowClient()
    client.set_model_version_tag(version.name, version.version, REASON, decision.reason)
    if decision.is_promoted:
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
    word = PROMOTED if decision.is_promoted else NOT_PROMOTED
    client.set_model_version_tag(version.name, version.version, DECISION, word)
    outcome = "is now the champion" if decision.is_promoted else "is not promoted"
    text = f"Version {version.version} of {version.name} {outcome}: {decision.reason}"
    if decision.is_promoted and champion is not None and champion.version != version.version:
        text += f"\nTo undo this: sentiment promote {champion.run_id}"
    return text


def describe_decision(version: "ModelVersion | None") -> str:
    """Return what was decided about a version, in words. "": nothing was, or it was deleted."""
    if version is None or DECISION not in version.tags:
        return ""
    reason = version.tags.get(REASON, "")
    text = f"Version {version.version} of {version.name} was {version.tags[DECISION]}: {reason}"
    champion = find_champion(version.name)
    if champion is not None and champion.version != version.version:
        text += f"\nThe champion is version {champion.version}"
    return text
