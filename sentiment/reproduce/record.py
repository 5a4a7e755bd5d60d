"""Read what a run in MLflow has: all that it takes to run it again, and its results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.params import Params, flatten, merge_params
from sentiment.project.params_file import parse_params, read_yaml
from sentiment.project.paths import PREDICTIONS_FILE
from sentiment.project.provenance import COMMIT, UNRECORDED
from sentiment.text.model_files import THRESHOLD
from sentiment.tracking.runs import DIFF_ARTIFACT, LOCK_ARTIFACT, PARAMS_ARTIFACT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NEEDED_ARTIFACTS = (PARAMS_ARTIFACT, LOCK_ARTIFACT, PREDICTIONS_FILE)


class RecordedRun(NamedTuple):
    """A run, and where its artifacts were downloaded to.

    Attributes:
        params: its params by sections, as the code of its commit reads them.
        folder: has `NEEDED_ARTIFACTS` and, if the run has uncommitted changes, their diff.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    params: dict[str, Any]
    folder: Path


def download_run(client: "MlflowClient", run: "Run", folder: Path) -> RecordedRun:
    """Download what it takes to run a run again, and its predictions.

    Raises:
        UserError: the run lacks something.
    """
    run_id = run.info.run_id
    logged = {artifact.path for artifact in client.list_artifacts(run_id)}
    lacking = [f"the artifact {name}" for name in NEEDED_ARTIFACTS if name not in logged]
    if COMMIT not in run.data.tags:
        lacking.append("the commit of its code")
    if UNRECORDED in run.data.tags:
        lacking.append(f"what its commit and its diff do not have: {run.data.tags[UNRECORDED]}")
    if lacking:
        raise UserError(
            f"Run {run_id} lacks what it takes to run it again: {'; '.join(lacking)}. Name another "
            "run."
        )
    for name in (*NEEDED_ARTIFACTS, *({DIFF_ARTIFACT} & logged)):
        client.download_artifacts(run_id, name, str(folder))
    threshold = float(run.data.params[THRESHOLD])
    params = {**read_yaml(folder / PARAMS_ARTIFACT), "evaluate": {"threshold": threshold}}
    return RecordedRun(run_id, str(run.info.run_name), run.data.tags, params, folder)


def read_params(run: "Run") -> dict[str, Any]:
    """Return the params that a run depends on, by dotted names.

    Raises:
        UserError: this release does not allow its params.
    """
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{PARAMS_ARTIFACT}")
    sections = YAML(typ="safe", pure=True).load(text)
    document = merge_params(Params().model_dump(), sections)
    params = parse_params(document, f"params.yaml of run {run.info.run_id}")
    values: dict[str, Any] = {}
    for section in sections:
        values |= flatten(getattr(params, section), section)
    if THRESHOLD in run.data.params:
        values[THRESHOLD] = float(run.data.params[THRESHOLD])
    return values
