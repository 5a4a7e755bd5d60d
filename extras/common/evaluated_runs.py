"""Evaluated runs and groups of seeds, read from this workspace or from the tracking store.

Every file is checked against the digests of its `about.json`; that file, where the store has it,
against the digest in the run's tags.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from extras.common.run_groups import CHAMPION, MEMBERS, SEEDS, WORKSPACE
from sentiment.errors import UserError
from sentiment.network.progress import METRICS
from workflow import evaluation, files
from workflow.files import EVALUATE, TRAIN, DamagedError
from workflow.registry import champion
from workflow.runs import lifecycle, logger, store

LOG_AGAIN = (
    "`make sync`, where its files are, logs them again; linear models and ensembles are made anew."
)


class Training(NamedTuple):
    """A training with its evaluation.

    Attributes:
        params: everything that shaped it and its evaluation, and digests of model and data.
        predictions: see `sentiment.evaluation.metrics`; `probability` is float32.
        history: see `sentiment.network.progress.TrainingResult`.
        cost: `parameters` and `milliseconds_per_review`.
    """

    run_id: str
    name: str
    params: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    cost: dict[str, float]


class RunGroup(NamedTuple):
    """A training, or a group of trainings that differ in their seeds.

    Attributes:
        label: how it was asked for, such as `champion`.
        run_id: of the training's run, or of the group's parent run, whose name is `name`.
    """

    label: str
    run_id: str
    name: str
    trainings: list[Training]

    @property
    def single(self) -> bool:
        return len(self.trainings) == 1

    @property
    def cost(self) -> dict[str, float]:
        """What a training and an answer take, means over the trainings."""
        costs = [
            {"training_seconds": training.history["seconds"].sum(), **training.cost}
            for training in self.trainings
        ]
        return {name: float(np.mean([cost[name] for cost in costs])) for name in costs[0]}


def read(name: str, scratch: Path) -> RunGroup:
    """Read a run or a group of seeds.

    Args:
        name: `workspace`, `champion`, or the id of an MLflow run or of a group's parent run.
        scratch: an empty folder for what is downloaded.

    Raises:
        UserError: there is no such run, or its files are missing or were changed.
    """
    if name == WORKSPACE:
        return workspace()
    if name == CHAMPION:
        return from_store(str(champion.current().run_id), name, scratch)
    if champion.RUN_ID.fullmatch(name):
        return from_store(name, name[:8], scratch)
    raise UserError(
        f"{name} is not `{WORKSPACE}`, `{CHAMPION}` or a run's id, as `make ui` shows it."
    )


@contextmanager
def belonging_to(owner: str, advice: str) -> Iterator[None]:
    """Reword a DamagedError of the block, whose folder means nothing to a user, as a UserError.

    It says whose the file is, such as `Run 0123`, and gives other advice, a sentence.
    """
    try:
        yield
    except DamagedError as error:
        file = f"{error.path.parent.name}/{error.path.name}"
        raise UserError(f"{owner}: {file} {error.problem}. {advice}") from None


def workspace() -> RunGroup:
    """Read the training and the evaluation in `data/`.

    If its run was lost and logged again, `run_id` is that of the new one.
    """
    record = evaluation.read_training()
    recorded = lifecycle.recorded(record.run["run_id"])
    run_id = recorded.run.run_id if recorded else record.run["run_id"]
    training = evaluated(run_id, record.run["name"], EVALUATE, record.history)
    if training.params["model.sha256"] != files.read_about(TRAIN)["files"]["model.keras"]:
        raise UserError("The workspace has the evaluation of another model: run `dvc repro`.")
    return RunGroup(WORKSPACE, run_id, training.name, [training])


def evaluated(run_id: str, name: str, folder: Path, history: pd.DataFrame) -> Training:
    """Put a training together from the folder that `evaluate` wrote."""
    described = files.read_about(folder)
    table = files.checked(folder / "predictions.csv")
    predictions = pd.read_csv(table, dtype={"probability": np.float32})
    cost = files.read_json(files.checked(folder / "cost.json"))
    return Training(run_id, name, described["params"], predictions, history, cost)


def from_store(run_id: str, label: str, scratch: Path) -> RunGroup:
    """Read a run of the store, or the trainings of a group by its parent run."""
    experiment_id, client = store.connect(), MlflowClient()
    with store.as_user_error():
        run = store.find_run(client, experiment_id, run_id)
        if run is None:
            raise UserError(f"The tracking store has no run {run_id}.")
        runs = members(client, run)
        trainings = [from_run(client, member, scratch / member.info.run_id) for member in runs]
    # a run that was lost and made again has another id than was asked for
    return RunGroup(label, str(run.info.run_id), str(run.info.run_name), trainings)


def members(client: MlflowClient, run: Run) -> list[Run]:
    """The run itself, or the trainings of the group whose parent it is, by seed.

    Raises:
        UserError: one was deleted: the mean of the others would be another one.
    """
    if SEEDS not in run.data.tags:
        return [run]
    named = json.loads(run.data.tags.get(MEMBERS, "{}")).values()
    runs = [store.find_run(client, run.info.experiment_id, run_id) for run_id in named]
    stored = [member for member in runs if member]
    if not stored or len(stored) < len(runs):
        raise UserError(
            f"The tracking store lacks trainings of the group {run.info.run_id}: `make seeds` "
            "completes it."
        )
    return stored


def from_run(client: MlflowClient, run: Run, scratch: Path) -> Training:
    """Download a training with its evaluation from the store."""
    run_id, tags, place = run.info.run_id, run.data.tags, EVALUATE.name
    with belonging_to(f"Run {run_id}", LOG_AGAIN):
        if not client.list_artifacts(run_id, place):
            raise files.missing(Path(place) / files.ABOUT)
        scratch.mkdir(parents=True)
        folder = Path(client.download_artifacts(run_id, place, str(scratch)))
        if not (logger.has_all(tags, folder) and logger.COMPLETE.format(TRAIN.name) in tags):
            raise UserError(f"Run {run_id} is incomplete. {LOG_AGAIN}")
        return evaluated(run_id, str(run.info.run_name), folder, read_history(client, run_id))


def read_history(client: MlflowClient, run_id: str) -> pd.DataFrame:
    """A training's history, see `sentiment.network.training.Trained`, from the run's metrics."""
    columns = {
        name: {point.step: point.value for point in client.get_metric_history(run_id, name)}
        for name in METRICS
    }
    return pd.DataFrame(columns).sort_index().rename_axis("epoch").reset_index()
