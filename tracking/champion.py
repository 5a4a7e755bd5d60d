"""Decide which version is the champion, and say why.

The champion is the version with the alias `champion`. The tags `decision` and `reason` of a version
say what was decided about it and why, and a champion counts the tests against it in its tag
`tests`. A decision of the rule is written in the order reason, alias, decision. One of a person is
written in the order alias, reason, decision. If the process is killed in between, the next one
calls `finish_promotion`, which writes the rest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from sentiment.errors import StoreError, UserError, first_line
from tracking.promotion import (
    Outcome,
    compare_with_champion,
    small_test_set_note,
    why_not_tested,
)
from tracking.registry import CHAMPION, all_versions, find_champion, versions_of_run
from tracking.versions import Evaluation, download_evaluation
from workflow import files
from workflow.checkpoint import CHECKPOINTS_FOLDER
from workflow.files import EvaluateInputs

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DECISION_LOCK = "champion.lock"  # in the folder of the checkpoints
# Tags of a version
DECISION = "decision"
REASON = "reason"
TEST_COUNT = "tests"  # of a champion: number of candidates that were tested against it
# Decisions
PROMOTED = "promoted"
NOT_PROMOTED = "not promoted"
# Reasons for a promotion without a test
FIRST = "there was no champion before"
BY_A_PERSON = "promoted by a person"


def decide(version: "ModelVersion", candidate: Evaluation[EvaluateInputs], alpha: float) -> None:
    """Let the rule decide about a version, once, and print the decision.

    If there is no champion but versions were decided about, there was one. Then nothing is decided,
    and the message says what to do.

    Args:
        version: the version.
        candidate: its evaluation.
        alpha: see `tracking.promotion`.
    """
    with _exclusive_decision():
        finish_promotion(version.name)
        champion = find_champion(version.name)
        decided = [each for each in all_versions(version.name) if DECISION in each.tags]
        if champion is None and decided:
            print(_no_champion_message(decided))
        elif version.version in {each.version for each in decided}:
            return
        elif champion is None:
            note = small_test_set_note(candidate.predictions)
            _write_decision(version, None, True, f"{FIRST}{note}")
        else:
            is_better, reason = _test_candidate(candidate, champion, alpha)
            _write_decision(version, champion, is_better, reason)


@contextmanager
def _exclusive_decision() -> Iterator[None]:
    """Hold the lock under which one process at a time decides, such as queued experiments."""
    folder = files.root() / CHECKPOINTS_FOLDER
    folder.mkdir(exist_ok=True)
    with FileLock(folder / DECISION_LOCK):
        yield


def _no_champion_message(decided: "list[ModelVersion]") -> str:
    """Return what to do without a champion, given the versions that were decided about."""
    promoted = [version for version in decided if version.tags[DECISION] == PROMOTED]
    named = (promoted or decided)[0]
    return (
        f"{named.name} has no champion: no version has the alias {CHAMPION}. To make version "
        f"{named.version} ({named.tags[DECISION]} before) the champion: sentiment promote "
        f"{named.run_id}"
    )


def _test_candidate(
    candidate: Evaluation[EvaluateInputs], champion: "ModelVersion", alpha: float
) -> tuple[bool, str]:
    """Return whether a candidate is better than the champion, and the reason. Count the test."""
    import mlflow

    try:
        other = download_evaluation(str(champion.run_id))
    except StoreError:  # the next call decides
        raise
    except UserError as error:
        return False, f"the champion's evaluation cannot be read: {first_line(error)}"
    reason = why_not_tested(candidate.inputs, other.inputs)
    if reason is not None:
        return False, reason
    # A decision that is killed after this counts twice, which makes a promotion rarer.
    number = int(champion.tags.get(TEST_COUNT, 0)) + 1
    client = mlflow.MlflowClient()
    client.set_model_version_tag(champion.name, champion.version, TEST_COUNT, str(number))
    verdict = compare_with_champion(candidate.predictions, other.predictions, alpha, number)
    return verdict.outcome is Outcome.BETTER, verdict.reason


def promote_run(run_id: str) -> None:
    """Make the version of a run the champion, whatever the rule decided, and print that.

    Raises:
        UserError: the run has no version, or was deleted.
    """
    import mlflow

    found = versions_of_run(run_id)
    if not found:
        raise UserError(
            f"Run {run_id} has no registered version. Name another run, or run `sentiment sync` "
            "where its data/ is."
        )
    version = found[0]
    client = mlflow.MlflowClient()
    if client.get_run(run_id).info.lifecycle_stage == "deleted":
        raise UserError(
            f"Run {run_id} was deleted. To bring it back: mlflow runs restore --run-id {run_id}"
        )
    with _exclusive_decision():
        finish_promotion(version.name)
        champion = find_champion(version.name)
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
        client.set_model_version_tag(version.name, version.version, REASON, BY_A_PERSON)
        client.set_model_version_tag(version.name, version.version, DECISION, PROMOTED)
        _print_decision(version, champion, True, BY_A_PERSON)


def _write_decision(
    version: "ModelVersion", champion: "ModelVersion | None", is_promoted: bool, reason: str
) -> None:
    """Write and print a decision of the rule.

    Args:
        version: the version that it is about.
        champion: the champion before.
        is_promoted: whether the version becomes champion.
        reason: the reason, as a clause.
    """
    import mlflow

    client = mlflow.MlflowClient()
    client.set_model_version_tag(version.name, version.version, REASON, reason)
    if is_promoted:
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
    decision = PROMOTED if is_promoted else NOT_PROMOTED
    client.set_model_version_tag(version.name, version.version, DECISION, decision)
    _print_decision(version, champion, is_promoted, reason)


def _print_decision(
    version: "ModelVersion", champion: "ModelVersion | None", is_promoted: bool, reason: str
) -> None:
    """Print a decision and, for a promotion, the command that undoes it."""
    outcome = "is now the champion" if is_promoted else "is not promoted"
    print(f"Version {version.version} of {version.name} {outcome}: {reason}")
    if is_promoted and champion is not None and champion.version != version.version:
        print(f"To undo this: sentiment promote {champion.run_id}")


def finish_promotion(name: str) -> None:
    """Write the missing tags of a promotion to the champion.

    They are missing if the process that promoted it was killed, or if a person set the alias.
    """
    import mlflow

    champion = find_champion(name)
    if champion is None or champion.tags.get(DECISION) == PROMOTED:
        return
    client = mlflow.MlflowClient()
    if not champion.tags.get(REASON, "").startswith((FIRST, Outcome.BETTER)):
        client.set_model_version_tag(name, champion.version, REASON, BY_A_PERSON)
    client.set_model_version_tag(name, champion.version, DECISION, PROMOTED)
