"""Group runs that repeat each other with other seeds.

A run's params, test set and machine are in MLflow's table of runs. DVC's hashes of the code and the
arrays are in a file of the run, which is downloaded only for runs that are alike in all else. The
commit would say too much, because each commit of results changes it, and too little, because it
lacks uncommitted changes.
"""

import tempfile
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.naming import SEPARATOR
from sentiment.project.params_file import read_yaml
from sentiment.project.presets import SEED
from sentiment.project.provenance import DVC_EXPERIMENT
from sentiment.tracking.results import LOCK_ARTIFACT
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def conditions(run: "Run") -> dict[str, str]:
    """Return the params of a run but for its seed, its test set and its machine, by name."""
    params = {name: value for name, value in run.data.params.items() if name != SEED}
    tags = run.data.tags
    return params | {name: tags[name] for name in (TEST_SET_DIGEST, *MACHINE_TAGS) if name in tags}


def trained_files(client: "MlflowClient", run: "Run") -> dict[str, str]:
    """Return DVC's hashes of the code and the arrays that a training has read, by path.

    A run without a dvc.lock, whose stages DVC did not run, repeats no other run.
    """
    run_id = run.info.run_id
    if LOCK_ARTIFACT not in {artifact.path for artifact in client.list_artifacts(run_id)}:
        return {LOCK_ARTIFACT: run_id}
    with tempfile.TemporaryDirectory() as scratch:
        lock = read_yaml(Path(client.download_artifacts(run_id, LOCK_ARTIFACT, scratch)))
    return {file["path"]: file["md5"] for file in lock["stages"]["train"]["deps"]}


def group_runs(client: "MlflowClient", runs: "Iterable[Run]") -> "list[list[Run]]":
    """Return the groups of runs that differ by their seed alone, in the order of the runs.

    The first run of a seed counts: others with this seed have the same bits.
    """
    groups = []
    for alike in group_by(runs, lambda run: frozenset(conditions(run).items())):
        if len(alike) == 1:
            groups.append(alike)
        else:
            groups += group_by(alike, lambda run: frozenset(trained_files(client, run).items()))
    return [[same_seed[0] for same_seed in group_by(group, seed_of)] for group in groups]


def group_by(runs: "Iterable[Run]", key: "Callable[[Run], Hashable]") -> "list[list[Run]]":
    """Return the runs of each key."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def seed_of(run: "Run") -> str | None:
    return run.data.params.get(SEED)


def group_name(run: "Run") -> str:
    """Return the name of a run without its seed and its DVC experiment."""
    own = {f"seed {seed_of(run)}", run.data.tags.get(DVC_EXPERIMENT)}
    parts = str(run.info.run_name).split(SEPARATOR)
    return SEPARATOR.join(part for part in parts if part not in own)


def missing_seed(group: "Iterable[Run]") -> int:
    """Return the smallest seed from 42 that a group lacks."""
    trained = {seed_of(run) for run in group}
    seed = 42
    while str(seed) in trained:
        seed += 1
    return seed
