"""Evaluated runs and groups of seeds, read from this workspace or from the tracking store.

Every file that is read is checked against the digests of its `about.json`; what the store has of
it, that file included, against the digest in the run's tags.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from extras.common.run_groups import CHAMPION, MEMBERS, SEEDS, WORKSPACE, children
from sentiment.errors import UserError
from sentiment.network.state import METRICS
from workflow import files
from workflow.files import EVALUATE, TEST_DATA, TRAIN, DamagedError
from workflow.registry import champion
from workflow.registry import versions as registry
from workflow.runs import logger, store

if TYPE_CHECKING:
    import mlflow

# where a run of a network, or of a linear model, is incomplete
SYNC = "`make sync`, where its files are, logs them again."
FIT_AGAIN = "dvc repro --single-item --force extras/baseline/dvc.yaml:linear@"
GRADIENTS = "gradients.csv"  # evaluations before it was measured have none
EVALUATED_TAG, TRAINED_TAG = (logger.COMPLETE.format(stage.name) for stage in (EVALUATE, TRAIN))


class Training(NamedTuple):
    """A training with its evaluation.

    Attributes:
        run_id: of its MLflow run.
        name: of its MLflow run.
        params: everything that shaped it and its evaluation, and digests of model and data.
        predictions: see `sentiment.scoring.metrics`; `probability` is float32.
        history: see `sentiment.network.state.Trained`.
        gradients: see `sentiment.gradients.table`; None for an evaluation that is older
            than these.
        cost: `parameters` and `milliseconds_per_review`.
    """

    run_id: str
    name: str
    params: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    gradients: pd.DataFrame | None
    cost: dict[str, float]


class RunGroup(NamedTuple):
    """A training, or a group of trainings that differ in their seeds.

    Attributes:
        label: how it was asked for, such as `champion`.
        run_id: of the training's run, or of the group's parent run.
        name: of that run.
        trainings: one, or those of the group.
    """

    label: str
    run_id: str
    name: str
    trainings: list[Training]

    @property
    def single(self) -> bool:
        """Whether it is one training and not a group."""
        return len(self.trainings) == 1

    @property
    def cost(self) -> dict[str, float]:
        """What a training and an answer take, means over the trainings."""
        seconds = [training.history["seconds"] for training in self.trainings]
        return {
            "training_seconds": float(np.mean([epochs.sum() for epochs in seconds])),
            "epoch_seconds": float(np.mean([epochs.median() for epochs in seconds])),
            **{
                name: float(np.mean([training.cost[name] for training in self.trainings]))
                for name in ("parameters", "milliseconds_per_review")
            },
        }


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
        return from_store(champion_run(), name, scratch)
    if champion.RUN_ID.fullmatch(name):
        return from_store(name, name[:8], scratch)
    raise UserError(
        f"{name} is not `{WORKSPACE}`, `{CHAMPION}` or a run's id, which has 32 digits. Name the "
        "run of a git revision or DVC experiment by its id: `make ui` shows all runs, and their "
        "tags git.commit and dvc.experiment say what they were trained from."
    )


@contextmanager
def belonging_to(owner: str, advice: str) -> Iterator[None]:
    """Say of a damaged file whose it is and what to do: its folder here means nothing to a user.

    Args:
        owner: such as `Run 0123`.
        advice: a sentence.

    Raises:
        UserError: in place of a DamagedError of the block.
    """
    try:
        yield
    except DamagedError as error:
        file = f"{error.path.parent.name}/{error.path.name}"
        raise UserError(f"{owner}: {file} {error.problem}. {advice}") from None


def champion_run() -> str:
    """Id of the champion's run.

    Raises:
        UserError: there is no champion, or its run was evaluated anew since it became one.
    """
    import mlflow

    version = champion.current()
    run_id = str(version.run_id)
    with store.as_user_error():
        evaluated = mlflow.MlflowClient().get_run(run_id).data.tags.get(EVALUATED_TAG)
    if evaluated != version.tags.get(registry.EVALUATION):
        raise UserError(
            f"Run {run_id} was evaluated anew since version {version.version} of it became "
            f"champion. `make promote RUN={run_id}` makes the new version champion; "
            f"A={run_id} compares with the new evaluation."
        )
    return run_id


def workspace() -> RunGroup:
    """Read the training and the evaluation in `data/`.

    If its run was lost and made again from its files, it has another id than these name.
    """
    import mlflow

    digests = files.read_about(TRAIN)["files"]
    run = files.read_json(files.checked(TRAIN / "run.json", digests))
    history = pd.read_csv(files.checked(TRAIN / "history.csv", digests))
    experiment_id = store.connect()
    with store.as_user_error():
        recorded = store.find_run(mlflow.MlflowClient(), experiment_id, run["run_id"])
    run_id = str(recorded.info.run_id) if recorded else run["run_id"]
    training = read_training(run_id, run["name"], EVALUATE, history)
    if training.params["model.sha256"] != digests["model.keras"]:
        raise UserError("The workspace has the evaluation of another model: run `dvc repro`.")
    return RunGroup(WORKSPACE, training.run_id, training.name, [training])


def read_training(run_id: str, name: str, evaluated: Path, history: pd.DataFrame) -> Training:
    """Put a training together from the folder that `evaluate` wrote."""
    described = files.read_about(evaluated)
    if TEST_DATA not in described["params"]:
        raise UserError(f"Run {run_id} was evaluated by an older version: evaluate it again.")
    table = files.checked(evaluated / "predictions.csv", described["files"])
    predictions = pd.read_csv(table, dtype={"probability": np.float32})
    cost = files.read_json(files.checked(evaluated / "cost.json", described["files"]))
    gradients = None
    if GRADIENTS in described["files"]:
        path = files.checked(evaluated / GRADIENTS, described["files"])
        gradients = pd.read_csv(path)
    return Training(run_id, name, described["params"], predictions, history, gradients, cost)


def from_store(run_id: str, label: str, scratch: Path) -> RunGroup:
    """Read a run of the store, or the trainings of a group by its parent run."""
    import mlflow

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    with store.as_user_error():
        run = store.find_run(client, experiment_id, run_id)
        if run is None:
            raise UserError(
                f"The tracking store has no run {run_id}. `make ui` shows those it has."
            )
        runs = children(client, run) if SEEDS in run.data.tags else [run]
        require_all(run, runs)
        trainings = [from_run(client, member, scratch / member.info.run_id) for member in runs]
    if not trainings:
        raise UserError(f"The group {run_id} has no trainings: `make seeds` completes it.")
    # a run that was lost and made again has another id than was asked for
    return RunGroup(label, str(run.info.run_id), str(run.info.run_name), trainings)


def require_all(parent: "mlflow.entities.Run", runs: "list[mlflow.entities.Run]") -> None:
    """Raise UserError if a training of a group was deleted: its mean would be another one."""
    named = set(json.loads(parent.data.tags.get(MEMBERS, "{}")).values())
    if missing := named - {run.info.run_id for run in runs}:
        raise UserError(
            f"The tracking store lacks trainings of the group {parent.info.run_id}, "
            f"{', '.join(sorted(missing))}: `make seeds` completes it."
        )


def from_run(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", scratch: Path) -> Training:
    """Download a training with its evaluation from the store."""
    run_id = run.info.run_id
    kind = run.data.params.get("linear.kind")
    again = f"`{FIT_AGAIN}{kind}` fits it again." if kind else SYNC
    with belonging_to(f"Run {run_id}", again):
        evaluated = download(run_id, scratch)
        if not logger.has_all(run.data.tags, evaluated):
            raise UserError(f"Run {run_id}: its evaluation is incomplete. {again}")
        if TRAINED_TAG not in run.data.tags:
            raise UserError(f"Run {run_id}: its curves are incomplete. {again}")
        history = read_history(client, run_id)
        return read_training(run_id, str(run.info.run_name), evaluated, history)


def download(run_id: str, scratch: Path) -> Path:
    """Download a run's evaluation into a new folder and return where it is."""
    import mlflow

    place = EVALUATE.name
    if not mlflow.MlflowClient().list_artifacts(run_id, place):
        raise files.missing(Path(place) / files.ABOUT)
    scratch.mkdir(parents=True)
    return Path(
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{place}", dst_path=str(scratch))
    )


def read_history(client: "mlflow.MlflowClient", run_id: str) -> pd.DataFrame:
    """A training's history, see `sentiment.network.training.Trained`, from the run's metrics."""
    points = {name: client.get_metric_history(run_id, name) for name in METRICS}
    columns = {
        name: {point.step: point.value for point in logged} for name, logged in points.items()
    }
    return pd.DataFrame(columns).sort_index().rename_axis("epoch").reset_index()
