"""Groups of runs that repeat each other with other seeds.

The params, the machine and the test set of a run are in MLflow's table of runs. The code and the
arrays of its training are in its dvc.lock, which is downloaded only for runs that are alike in all
else. A commit would say too much, as it changes with every page, and too little, as it lacks
uncommitted changes.
"""

import tempfile
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.params_file import read_yaml
from sentiment.project.presets import SEED
from sentiment.tracking.results import LOCK_ARTIFACT
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def find_groups(client: "MlflowClient", runs: "Iterable[Run]") -> "list[list[Run]]":
    """Return groups of runs, in the order of the runs, see `find_group`."""
    groups = []
    for alike in group_by(runs, conditions):
        if len(alike) == 1:
            groups.append(alike)
        else:
            groups += group_by(alike, lambda run: training_files(client, run))
    return [one_for_each_seed(group) for group in groups]


def find_group(client: "MlflowClient", runs: "Iterable[Run]", run: "Run") -> "list[Run]":
    """Return a run and those that differ from it by their seeds alone, one for each seed."""
    files = training_files(client, run)
    alike = [each for each in runs if conditions(each) == conditions(run)]
    return one_for_each_seed([run, *(r for r in alike if training_files(client, r) == files)])


def group_by(runs: "Iterable[Run]", key: "Callable[[Run], Hashable]") -> "list[list[Run]]":
    """Return the runs of each key."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def one_for_each_seed(runs: "Sequence[Run]") -> "list[Run]":
    """Return the first run of each seed. Others of that seed have the same bits."""
    return [same_seed[0] for same_seed in group_by(runs, seed)]


def conditions(run: "Run") -> Hashable:
    """Return what repetitions have in common: their params but for the seed, machine, test set."""
    tags = [run.data.tags.get(name) for name in (*MACHINE_TAGS, TEST_SET_DIGEST)]
    return frozenset(params_without_seed(run.data.params).items()), *tags


def params_without_seed(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name != SEED}


def seed(run: "Run") -> int:
    """Return the seed of a training."""
    return int(run.data.params[SEED])


def training_files(client: "MlflowClient", run: "Run") -> Hashable:
    """Return the digests of the code and the arrays that a training has read.

    A run without a dvc.lock, whose stages were not run by DVC, repeats no other run.
    """
    run_id = run.info.run_id
    if LOCK_ARTIFACT not in {artifact.path for artifact in client.list_artifacts(run_id)}:
        return run_id
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(client.download_artifacts(run_id, LOCK_ARTIFACT, scratch))
        train = read_yaml(lock)["stages"]["train"]
    return frozenset((file["path"], file["md5"]) for file in train["deps"])
