"""Read evaluated runs and seed groups from this workspace or from the tracking store.

Every file is compared with the digest in its `about.json`. If the store has that file, it is
compared with the digest in the run's tags.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from extras.common.parent_runs import CHAMPION, SEED_KEY, SEED_RUNS, WORKSPACE
from sentiment.errors import UserError
from workflow import files, outputs, tracking
from workflow.about import AboutEvaluate, read_about
from workflow.files import EVALUATE, DamagedError
from workflow.registry import champion
from workflow.tracking import Run, calls_store

LOG_AGAIN = (
    "Run `make sync` in the workspace that has its files. If the run is an ensemble, run "
    "`make ensemble` again."
)


class EvaluatedRun(NamedTuple):
    """A run with its evaluation.

    Attributes:
        params: flat params of the training and its evaluation, and digests of model and data.
        predictions: see `sentiment.evaluation.metrics`; `probability` is float32.
        cost: `training_seconds`, `parameters` and `milliseconds_per_review`.
    """

    run_id: str
    name: str
    params: dict[str, Any]
    predictions: pd.DataFrame
    cost: dict[str, float]


class RunGroup(NamedTuple):
    """A run, or a seed group.

    Attributes:
        label: the name that the user gave, such as `champion`.
        run_id: id of the run, or of the parent run.
        name: name of that run.
        runs: the run, or the runs of the seed group.
    """

    label: str
    run_id: str
    name: str
    runs: list[EvaluatedRun]

    @property
    def is_single(self) -> bool:
        return len(self.runs) == 1

    @property
    def cost(self) -> dict[str, float]:
        """Means over the runs, see `EvaluatedRun.cost`."""
        costs = [run.cost for run in self.runs]
        return {name: float(np.mean([cost[name] for cost in costs])) for name in costs[0]}


def read_run_group(name: str, scratch: Path) -> RunGroup:
    """Read a run or a seed group.

    Args:
        name: `workspace`, `champion`, or the id of an MLflow run or of a group's parent run.
        scratch: an empty folder for downloaded files.

    Raises:
        UserError: there is no such run, or its files are missing or were changed.
    """
    if name == WORKSPACE:
        return read_workspace()
    if name == CHAMPION:
        return read_from_store(str(champion.champion_version().run_id), name, scratch)
    if champion.RUN_ID.fullmatch(name):
        return read_from_store(name, name[:8], scratch)
    raise UserError(
        f"{name} is not the id of a run. Use an id that `make ui` shows, `{WORKSPACE}` or "
        f"`{CHAMPION}`."
    )


@contextmanager
def damaged_as_user_error(owner: str, advice: str) -> Iterator[None]:
    """Turn a DamagedError of the block into a UserError, because its folder means nothing to users.

    Args:
        owner: owner of the file, such as `Run 0123`.
        advice: a sentence that replaces the advice of the DamagedError.
    """
    try:
        yield
    except DamagedError as error:
        file = f"{error.path.parent.name}/{error.path.name}"
        raise UserError(f"{owner}: {file} {error.problem}. {advice}") from None


def read_workspace() -> RunGroup:
    """Read the training and the evaluation in `data/`.

    Raises:
        UserError: the evaluation is of another model or test set, or the store lacks the run.
    """
    run = tracking.find_run(outputs.read_run_record().training_id)
    if run is None:
        raise UserError("The tracking store does not have the run of data/train. Run `make sync`.")
    seconds = math.fsum(outputs.read_training_record().history["seconds"])
    evaluated = read_evaluated_run(run, EVALUATE, seconds)
    if not outputs.is_evaluation_current():
        raise UserError(f"{EVALUATE} is of another model or test set. Run `dvc repro`.")
    return RunGroup(WORKSPACE, run.run_id, run.name, [evaluated])


def read_evaluated_run(run: Run, folder: Path, training_seconds: float) -> EvaluatedRun:
    """Read a run from the folder of its evaluation.

    Args:
        run: the run.
        folder: the folder of the evaluation.
        training_seconds: duration of all epochs of the training.
    """
    about = read_about(folder, AboutEvaluate)
    table = files.verified(folder / "predictions.csv")
    return EvaluatedRun(
        run_id=run.run_id,
        name=run.name,
        params=about.flat_params() | about.digests,
        predictions=pd.read_csv(table, dtype={"probability": np.float32}),
        cost={
            "training_seconds": training_seconds,
            **files.read_json(files.verified(folder / "cost.json")),
        },
    )


def read_from_store(run_id: str, label: str, scratch: Path) -> RunGroup:
    """Read a run from the tracking store, or a seed group by its parent run."""
    run = tracking.find_run_by_id(run_id)
    if run is None:
        raise UserError(f"The tracking store has no run {run_id}.")
    runs = [download_run(member, scratch / member.run_id) for member in child_runs(run)]
    return RunGroup(label, run.run_id, run.name, runs)


def child_runs(run: Run) -> list[Run]:
    """Return the runs of the seed group of a parent run, by seed, or any other run itself.

    Raises:
        UserError: a run was deleted. The mean of the others would be another one.
    """
    tags = tracking.read_tags(run)
    if SEED_KEY not in tags:
        return [run]
    run_ids = json.loads(tags.get(SEED_RUNS, "{}")).values()
    runs = [tracking.find_run_by_id(run_id) for run_id in run_ids]
    found = [member for member in runs if member]
    if not found or len(found) < len(runs):
        raise UserError(
            f"The tracking store lacks runs of the seed group {run.run_id}. Run `make seeds` to "
            "restore them."
        )
    return found


@calls_store
def download_run(run: Run, scratch: Path) -> EvaluatedRun:
    """Download the evaluation of a run from the tracking store.

    Raises:
        UserError: files are missing or were changed.
    """
    client = MlflowClient()
    artifact_path = EVALUATE.name
    with damaged_as_user_error(f"Run {run.run_id}", LOG_AGAIN):
        if not client.list_artifacts(run.run_id, artifact_path):
            raise files.missing_error(Path(artifact_path) / files.ABOUT_FILE)
        scratch.mkdir(parents=True)
        folder = Path(client.download_artifacts(run.run_id, artifact_path, str(scratch)))
        if not tracking.has_all_outputs(run, folder):
            raise UserError(f"Run {run.run_id} is incomplete. {LOG_AGAIN}")
        epochs = client.get_metric_history(run.run_id, "seconds")
        return read_evaluated_run(run, folder, math.fsum(epoch.value for epoch in epochs))
