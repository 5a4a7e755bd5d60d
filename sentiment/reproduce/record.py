"""Read what a run in MLflow has: all that it takes to run it again, and its results."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sentiment.errors import UserError
from sentiment.params import Params, flatten, merge_params
from sentiment.project import paths
from sentiment.project.git import git
from sentiment.project.manifest import EvaluateManifest, read_manifest
from sentiment.project.params_file import parse_params, read_yaml
from sentiment.project.paths import EVALUATE_FOLDER
from sentiment.project.provenance import COMMIT, DIFF, UNKNOWN_COMMIT
from sentiment.tracking import store
from sentiment.tracking.publish import evaluation_digest
from sentiment.tracking.registry import registered_name
from sentiment.tracking.runs import (
    DIFF_ARTIFACT,
    EVALUATION_DIGEST,
    PARAMS_ARTIFACT,
    TRAINING_KEY,
    find_runs,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

NO_COMMIT = ("none", UNKNOWN_COMMIT)  # values of the tag
NEEDED_ARTIFACTS = (PARAMS_ARTIFACT, paths.DVC_LOCK.name, paths.PREDICTIONS_FILE.name)


class RecordedRun(NamedTuple):
    """A run, and where its artifacts were downloaded to.

    Attributes:
        folder: has `NEEDED_ARTIFACTS` and, if the run has uncommitted changes, their diff.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    folder: Path


def find_own_run() -> str:
    """Return the id of the run that has the results in `data/`.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, or `data/` has no results.
    """
    import mlflow

    manifest = read_manifest(EVALUATE_FOLDER, EvaluateManifest)
    found: list[Run] = []
    with store.store_errors():
        experiment = mlflow.get_experiment_by_name(registered_name(manifest.fetch.dataset_name))
        if experiment is not None:
            tags = {TRAINING_KEY: manifest.training_key, EVALUATION_DIGEST: evaluation_digest()}
            found = find_runs(experiment.experiment_id, tags)
    if not found:
        raise UserError("MLflow has no run with the results in data/. Run `sentiment sync`.")
    return str(found[0].info.run_id)


def download_run(run_id: str, folder: Path) -> RecordedRun:
    """Download what it takes to run a run again, and its predictions.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, or it lacks something.
    """
    import mlflow

    with store.store_errors():
        run = get_run(run_id)
        client = mlflow.MlflowClient()
        logged = {each.path for each in client.list_artifacts(run_id)}
        lacking = find_lacking(run.data.tags, logged)
        if lacking:
            raise UserError(
                f"Run {run_id} lacks what it takes to run it again: {'; '.join(lacking)}. Name "
                "another run."
            )
        for name in (*NEEDED_ARTIFACTS, *({DIFF_ARTIFACT} & logged)):
            client.download_artifacts(run_id, name, str(folder))
    return RecordedRun(run_id, str(run.info.run_name), run.data.tags, folder)


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
        raise UserError(f"The store has no run {run_id}. MLflow's UI shows the ids.") from None


def find_lacking(tags: Mapping[str, str], logged: Collection[str]) -> list[str]:
    """Return what a run or this repository lacks to run the run again, as clauses.

    Args:
        tags: the tags of the run.
        logged: the names of its artifacts.
    """
    lacking = [f"the artifact {name}" for name in NEEDED_ARTIFACTS if name not in logged]
    commit = tags.get(COMMIT, UNKNOWN_COMMIT)
    if commit in NO_COMMIT:
        lacking.append("the commit of its code")
    elif not git("cat-file", "-t", f"{commit}^{{commit}}"):
        lacking.append(f"its commit {commit} in this repository (`git fetch` may get it)")
    if DIFF in tags:
        lacking.append(f"all uncommitted changes: its diff is {tags[DIFF]}")
    return lacking


def read_params(run_id: str) -> dict[str, Any]:
    """Return the params that a run depends on, by dotted names.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such run, or this release does not allow its params.
    """
    import mlflow

    with store.store_errors(), tempfile.TemporaryDirectory() as scratch:
        get_run(run_id)
        path = mlflow.MlflowClient().download_artifacts(run_id, PARAMS_ARTIFACT, scratch)
        sections = read_yaml(Path(path))
    document = merge_params(Params().model_dump(), sections)
    params = parse_params(document, f"params.yaml of run {run_id}")
    values: dict[str, Any] = {}
    for section in sections:
        values |= flatten(getattr(params, section), section)
    return values
