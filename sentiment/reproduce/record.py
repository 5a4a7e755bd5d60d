"""Read what a run in MLflow has: all that it takes to run it again, and its results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.params import Params, flatten_mapping
from sentiment.project.files.params_file import read_yaml
from sentiment.project.files.paths import PREDICTIONS_FILE
from sentiment.project.training.provenance import COMMIT, UNRECORDED
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


def read_params(client: "MlflowClient", run: "Run", present: Params) -> dict[str, Any]:
    """Return the params that a run depends on, as `update_params_file` takes them.

    Args:
        present: those in params.yaml, which has values of params that are newer than the run.

    Raises:
        UserError: the run has no params.yaml, or one of release 5 or earlier, which had other
            params.
    """
    logged = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    if PARAMS_ARTIFACT not in logged:
        raise UserError(f"Run {run.info.run_id} has no {PARAMS_ARTIFACT}. Name another run.")
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{PARAMS_ARTIFACT}")
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    if "model" not in document:
        raise UserError(
            f"Run {run.info.run_id} is of release 5 or earlier, whose params were others. "
            "CHANGELOG.md says where each param is now."
        )
    model = document["model"]
    section = present.models.get(model)
    if section is not None and section.architecture == document[model]["architecture"]:
        document[model] = {**section.model_dump(), **document[model]}
    values = flatten_mapping(document.pop("fetch"), "fetch.") | document
    if THRESHOLD in run.data.params:
        values[THRESHOLD] = float(run.data.params[THRESHOLD])
    return values
