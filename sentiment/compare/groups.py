"""Group runs that repeat each other with other seeds."""

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from sentiment.params import NOT_COMPARED, SEED
from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.naming import SEPARATOR
from sentiment.project.provenance import DVC_EXPERIMENT
from sentiment.tracking.promotion import read_train_dependencies
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FIRST_SEED = 42


def find_groups(client: "MlflowClient", runs: "Iterable[Run]") -> "list[list[Run]]":
    """Return a run for each seed of each group, see `find_group`, in the order of the runs.

    The dvc.lock of a run is read only if another run is alike in all else.
    """
    groups = []
    for alike in group_by(runs, conditions):
        if len(alike) > 1:
            groups += group_by(alike, lambda run: dependencies(client, run))
        else:
            groups.append(alike)
    return [one_for_each_seed(group) for group in groups]


def find_group(client: "MlflowClient", runs: "Iterable[Run]", run: "Run") -> "list[Run]":
    """Return the runs that differ from a run by their seeds alone, and the run itself.

    Code and arrays are those in dvc.lock. A commit would say too much, as it changes with every
    page, and too little, as it lacks uncommitted changes.
    """
    alike = [each for each in runs if conditions(each) == conditions(run)]
    own = dependencies(client, run)
    return [each for each in alike if dependencies(client, each) == own]


def conditions(run: "Run") -> Hashable:
    """Return the params of a run, without its seed and its section's name, and its conditions."""
    tags = [run.data.tags.get(name) for name in (TEST_SET_DIGEST, *MACHINE_TAGS)]
    return frozenset(compared_params(run).items()), *tags


def compared_params(run: "Run") -> dict[str, str]:
    """Return the params of a run by which it can differ from another one of its group."""
    return {name: value for name, value in run.data.params.items() if name not in NOT_COMPARED}


def dependencies(client: "MlflowClient", run: "Run") -> Hashable:
    """Return the digests of the code and the arrays of a training."""
    return frozenset(read_train_dependencies(client, run).items())


def group_by(runs: "Iterable[Run]", key: "Callable[[Run], Hashable]") -> "list[list[Run]]":
    """Return the runs of each key."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def one_for_each_seed(group: "Iterable[Run]") -> "list[Run]":
    """Return the first run of each seed. Others of the group with this seed have the same bits."""
    return [runs[0] for runs in group_by(group, lambda run: run.data.params.get(SEED))]


def group_name(run: "Run") -> str:
    """Return the name of a run without its seed and its DVC experiment."""
    own = {f"seed {run.data.params.get(SEED)}", run.data.tags.get(DVC_EXPERIMENT)}
    parts = str(run.info.run_name).split(SEPARATOR)
    return SEPARATOR.join(part for part in parts if part not in own)


def missing_seed(group: "Iterable[Run]") -> int:
    """Return the smallest seed from 42 that a group lacks."""
    trained = {run.data.params.get(SEED) for run in group}
    seed = FIRST_SEED
    while str(seed) in trained:
        seed += 1
    return seed
