"""Choose the members of an ensemble and their weights: pure functions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from extras.common.evaluated_runs import EvaluatedRun, RunGroup
from sentiment.errors import UserError
from workflow.outputs import TEST_DIGEST

RUNS = "ensemble.runs"  # param of an ensemble: its members' runs and their weights
VALIDATION_SPLIT = "train.validation_split"


class Member(NamedTuple):
    """An evaluated training in an ensemble, and the weight of its log-odds."""

    training: EvaluatedRun
    weight: float


def choose_members(groups: Sequence[RunGroup]) -> list[Member]:
    """Return all trainings of the groups. Each group has the same weight.

    Raises:
        UserError: there is only one training, one is named twice, or their reviews differ.
    """
    members = [
        Member(run, 1 / len(groups) / len(group.runs)) for group in groups for run in group.runs
    ]
    if len(members) < 2:
        raise UserError("An ensemble needs at least two models. Name two runs, or a seed group.")
    if len({member.training.run_id for member in members}) < len(members):
        raise UserError(
            "A run is named twice, or is also in a seed group that is named. Name it once."
        )
    first = members[0].training
    for other, _ in members:
        if RUNS in other.params:
            raise UserError(f"{other.name} is an ensemble itself. Name its members.")
        for name, value in review_params(first).items():
            if other.params.get(name) != value:
                raise UserError(
                    f"{first.name} and {other.name} differ in {name}: {value} and "
                    f"{other.params.get(name)}. An ensemble needs models of the same reviews."
                )
    return members


def review_params(training: EvaluatedRun) -> dict[str, Any]:
    """Return the flat params that decide which reviews a training had, and the test set's digest.

    All members of an ensemble have them in common. Their params of `pad` may differ, because each
    member truncates and pads the reviews itself.
    """
    return {
        name: value
        for name, value in training.params.items()
        if name.startswith("fetch.") or name == TEST_DIGEST
    }
