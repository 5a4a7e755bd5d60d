"""Read what a run in MLflow has: what its training needs to be run again, and its results."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sentiment.errors import UserError
from sentiment.network.training import EPOCH_METRICS
from sentiment.params import Params, flatten
from tracking import store
from tracking.publish import EVALUATION, evaluation_digest
from tracking.registry import registered_name
from tracking.runs import DIFF_ARTIFACT, PARAMS_ARTIFACT, TRAINING_KEY
from workflow import files
from workflow.commands import git
from workflow.files import EVALUATE_FOLDER, EvaluateInputs
from workflow.params_file import merge_params, parse_params, read_yaml
from workflow.provenance import COMMIT, DIFF_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

NO_COMMIT = ("none", "unknown")  # values of the tag
NEEDED_ARTIFACTS = (PARAMS_ARTIFACT, files.DVC_LOCK.name, files.PREDICTIONS_FILE.name)


class RecordedRun(NamedTuple):
    """The content of a run that its training and the comparison need.

    Attributes:
        run_id: its id.
        name: its name.
        tags: its tags.
        diff: the uncommitted changes.
        params: the sections of params.yaml that it depends on.
        lock: dvc.lock with the stages `fetch`, `pad` and `train`.
        epochs: the metrics of each epoch, columns `EPOCH_METRICS`.
        predictions: the content of `predictions.csv`.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    diff: str
    params: dict[str, Any]
    lock: dict[str, Any]
    epochs: pd.DataFrame
    predictions: bytes


def find_own_run() -> str:
    """Return the id of the run that has the results in `data/`.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, or `data/` has no results.
    """
    import mlflow

    inputs = files.read_inputs(EVALUATE_FOLDER, EvaluateInputs)
    digest = evaluation_digest(inputs)
    found: list[mlflow.entities.Run] = []
    with store.store_errors():
        experiment = mlflow.get_experiment_by_name(registered_name(inputs.fetch.dataset_name))
        if experiment is not None:
            found = mlflow.search_runs(
                [experiment.experiment_id],
                f"tags.`{TRAINING_KEY}` = '{inputs.key}' AND tags.`{EVALUATION}` = '{digest}'",
                output_format="list",
            )
    if not found:
        raise UserError("MLflow has no run with the results in data/. Run `sentiment sync`.")
    return str(found[0].info.run_id)


def read_recorded_run(run_id: str) -> RecordedRun:
    """Read what a run has.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, or it lacks something.
    """
    import mlflow

    with store.store_errors(), tempfile.TemporaryDirectory() as scratch:
        run = get_run(run_id)
        client = mlflow.MlflowClient()
        logged = {each.path for each in client.list_artifacts(run_id)}
        check_complete(run_id, run.data.tags, logged)
        for name in (*NEEDED_ARTIFACTS, *({DIFF_ARTIFACT} & logged)):
            client.download_artifacts(run_id, name, scratch)
        folder = Path(scratch)
        diff = folder / DIFF_ARTIFACT
        return RecordedRun(
            run_id=run_id,
            name=str(run.info.run_name),
            tags=run.data.tags,
            diff=diff.read_bytes().decode() if diff.exists() else "",
            params=read_yaml(folder / PARAMS_ARTIFACT),
            lock=read_yaml(folder / files.DVC_LOCK.name),
            epochs=read_epochs(run_id),
            predictions=(folder / files.PREDICTIONS_FILE.name).read_bytes(),
        )


def get_run(run_id: str) -> "Run":
    """Return the run of an id.

    Raises:
        UserError: there is no such run.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in (*store.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE"):
            raise
        raise UserError(f"The store has no run {run_id}. `sentiment ui` shows the ids.") from None


def read_params(run_id: str) -> dict[str, Any]:
    """Return the params that a run depends on, by dotted names.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, it has no params, or they are of another release.
    """
    import mlflow

    with store.store_errors(), tempfile.TemporaryDirectory() as scratch:
        get_run(run_id)
        client = mlflow.MlflowClient()
        if PARAMS_ARTIFACT not in {each.path for each in client.list_artifacts(run_id)}:
            raise UserError(f"Run {run_id} has no {PARAMS_ARTIFACT}.")
        document = read_yaml(Path(client.download_artifacts(run_id, PARAMS_ARTIFACT, scratch)))
    params = parse_params(
        merge_params(Params().model_dump(), document), f"params.yaml of run {run_id}"
    )
    values: dict[str, Any] = {}
    for section in document:
        values |= flatten(getattr(params, section), section)
    return values


def check_complete(run_id: str, tags: Mapping[str, str], logged: Collection[str]) -> None:
    """Check that a run has all that it takes to run it again, and to compare the results.

    Args:
        run_id: its id, for the message.
        tags: its tags.
        logged: the names of its artifacts.

    Raises:
        UserError: it lacks something.
    """
    lacking = [f"the artifact {name}" for name in NEEDED_ARTIFACTS if name not in logged]
    commit = tags.get(COMMIT, NO_COMMIT[0])
    if commit in NO_COMMIT:
        lacking.append("the commit of its code")
    elif not git("cat-file", "-t", f"{commit}^{{commit}}"):
        lacking.append(f"its commit {commit}, which this repository does not have (git fetch)")
    if DIFF_TAG in tags:
        lacking.append(f"all uncommitted changes: its diff is {tags[DIFF_TAG]}")
    if lacking:
        raise UserError(f"Run {run_id} cannot be run again. It lacks {'; '.join(lacking)}.")


def read_epochs(run_id: str) -> pd.DataFrame:
    """Return the metrics of each epoch of a run, columns `EPOCH_METRICS`."""
    import mlflow

    client = mlflow.MlflowClient()
    columns = {}
    for name in EPOCH_METRICS:
        points = sorted(client.get_metric_history(run_id, name), key=lambda point: point.step)
        columns[name] = pd.Series([point.value for point in points], dtype=float)
    return pd.DataFrame(columns)
