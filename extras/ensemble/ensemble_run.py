"""An ensemble's run in MLflow."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from extras.common import evaluated_runs, run_groups, unpadded
from extras.common.unpadded import Data, Ranks
from extras.ensemble.members import RUNS, SHUFFLE, Member, choose, data_of, download
from sentiment.errors import UserError
from sentiment.section import flatten
from sentiment.serving.pyfunc_model import SentimentModel
from workflow import files
from workflow.files import EVALUATE, FETCH, TEST_DATA, arrays
from workflow.params import Params, load_params
from workflow.registry import champion, packaging
from workflow.runs import identity, store


class EnsembleRequest(NamedTuple):
    """What is evaluated: the run's name, the members, and a registered version of each."""

    name: str
    members: list[Member]
    versions: list[ModelVersion]
    params: Params


def make(names: Sequence[str]) -> dict[str, Any]:
    """Make the ensemble of runs and groups, see `evaluated_runs.read`.

    Returns:
        The run's id, name and metrics, and the weights of the members by their runs.

    Raises:
        UserError: one is not there, they do not go together, or the store cannot be used.
    """
    params = load_params()
    store.connect()
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as scratch, store.as_user_error():
        folder = Path(scratch)
        groups = [evaluated_runs.read(name, folder / str(at)) for at, name in enumerate(names)]
        members = choose(groups)
        weights = {member.training.run_id: member.weight for member in members}
        versions = [champion.evaluated_version(client, run_id) for run_id in weights]
        name = f"ensemble: {' + '.join(group.name for group in groups)}"
        run_id = evaluate_and_log(EnsembleRequest(name, members, versions, params), folder)
        metrics = dict(client.get_run(run_id).data.metrics)
    return {"run_id": run_id, "name": name, "weights": weights, "metrics": metrics}


def evaluate_and_log(request: EnsembleRequest, scratch: Path) -> str:
    """Evaluate an ensemble, as a run of its own and a version of the registered model.

    Returns:
        The run's id.

    Raises:
        UserError: the store failed meanwhile.
    """
    folder, models = scratch / EVALUATE.name, scratch / "models"
    folder.mkdir()
    models.mkdir()
    data = read_data(request.members)
    parts = download(request.members, request.versions, request.params.evaluate.threshold, models)
    evaluate(request, data, packaging.write_artifacts(models, parts), folder)
    params = files.read_about(folder)["params"]
    with run_groups.using(request.versions, request.name, params, {}) as log:
        log.diff(identity.uncommitted_diff())
        unpadded.publish_evaluation(log, folder, data.test, parts, request.params.promote)
    return log.run.run_id


def read_data(members: Sequence[Member]) -> Data:
    """Read the reviews that the members were trained and evaluated on from `data/fetch`.

    Raises:
        UserError: it has others.
    """
    wanted = data_of(members[0].training)
    digest = files.joint_digest(FETCH, arrays("test"))
    present = wanted | files.read_about(FETCH)["params"] | {TEST_DATA: digest}
    if any(present[name] != value for name, value in wanted.items()):
        raise UserError(
            f"{FETCH} has other reviews than the models were evaluated on: set fetch.dataset to "
            f"{wanted['fetch.dataset']}, with the values it had then, and run `dvc repro fetch`."
        )
    shares = [member.training.params["train.validation_split"] for member in members]
    return unpadded.read_data(wanted[SHUFFLE], shares)


def evaluate(
    request: EnsembleRequest, data: Data, artifacts: Mapping[str, str], folder: Path
) -> None:
    """Ask the model that these files are as where it is served, see `unpadded.evaluate`."""
    served = SentimentModel()
    served.load({name: Path(path) for name, path in artifacts.items()})

    def ask(reviews: list[Ranks]) -> NDArray[np.float32]:
        return served.classifier.predict_probability([ranks.tolist() for ranks in reviews])

    members, options = request.members, request.params.evaluate
    parameters = sum(member.training.cost["parameters"] for member in members)
    seconds = sum(float(member.training.history["seconds"].sum()) for member in members)
    runs = ", ".join(f"{member.training.run_id} × {member.weight:.4g}" for member in members)
    used = {**data_of(members[0].training), RUNS: runs, **flatten(options, "evaluate")}
    model = unpadded.Model(ask, parameters, seconds)
    unpadded.evaluate(folder, model, data, used, request.name, options)


def summary(ensemble: Mapping[str, Any]) -> str:
    """What `make` returns, for a reader."""
    accuracy = ensemble["metrics"]["test_accuracy"]
    return f"{ensemble['name']}: run {ensemble['run_id']}\nTest Accuracy: {accuracy:.4f}"
