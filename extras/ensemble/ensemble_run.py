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
from sentiment.evaluation.params import EvaluateParams
from sentiment.serving.pyfunc_model import SentimentModel
from workflow import files, provenance, tracking
from workflow.about import AboutEvaluate, AboutFetch, read_about
from workflow.files import EVALUATE, FETCH, array_names
from workflow.outputs import TEST_DIGEST
from workflow.params import load_params
from workflow.registry import champion, packaging
from workflow.tracking import calls_store


class EnsembleRequest(NamedTuple):
    """What is evaluated: the run's name, the members, and a registered version of each."""

    name: str
    members: list[Member]
    versions: list[ModelVersion]
    params: EvaluateParams


def make(names: Sequence[str]) -> dict[str, Any]:
    """Make the ensemble of runs and groups, see `evaluated_runs.read`.

    Returns:
        The run's id, name and metrics, and the weights of the members by their runs.

    Raises:
        UserError: one is not there, they do not go together, or the store cannot be used.
    """
    params = load_params().evaluate
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        groups = [evaluated_runs.read(name, folder / str(at)) for at, name in enumerate(names)]
        members = choose(groups)
        weights = {member.training.run_id: member.weight for member in members}
        versions = [champion.evaluated_version(run_id) for run_id in weights]
        name = f"ensemble: {' + '.join(group.name for group in groups)}"
        run_id = evaluate_and_log(EnsembleRequest(name, members, versions, params), folder)
    return {"run_id": run_id, "name": name, "weights": weights, "metrics": read_metrics(run_id)}


@calls_store
def read_metrics(run_id: str) -> dict[str, float]:
    """Return the latest value of each metric of a run."""
    return dict(mlflow.MlflowClient().get_run(run_id).data.metrics)


def evaluate_and_log(request: EnsembleRequest, scratch: Path) -> str:
    """Evaluate an ensemble, as a run of its own and a version of the registered model.

    Returns:
        The run's id.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    folder = scratch / EVALUATE.name
    folder.mkdir()
    models = scratch / "models"
    models.mkdir()
    data = read_data(request.members)
    about = describe(request)
    package = download(request.members, request.versions, about, models)
    evaluate(request, data, packaging.write_artifacts(models, package), about, folder)
    with run_groups.run_with_versions(
        request.versions, request.name, about.flat_params(), {"dataset": about.dataset.name}
    ) as run:
        if diff := provenance.uncommitted_diff():
            tracking.log_text(run, f"{diff}\n", tracking.DIFF_FILE)
        unpadded.publish_evaluation(run, folder, data.test, package)
    return run.run_id


def read_data(members: Sequence[Member]) -> Data:
    """Read the reviews that the members were trained and evaluated on from `data/fetch`.

    Raises:
        UserError: it has others.
    """
    wanted = data_of(members[0].training)
    fetched = read_about(FETCH, AboutFetch).flat_params()
    digest = files.joint_digest(FETCH, array_names("test"))
    present = {**fetched, SHUFFLE: wanted[SHUFFLE], TEST_DIGEST: digest}
    if present != wanted:
        raise UserError(
            f"{FETCH} has other reviews than the models were evaluated on: set fetch.dataset to "
            f"{wanted['fetch.dataset']}, with the values it had then, and run `dvc repro fetch`."
        )
    shares = [member.training.params["train.validation_split"] for member in members]
    return unpadded.read_data(wanted[SHUFFLE], shares)


def describe(request: EnsembleRequest) -> AboutEvaluate:
    """Describe the evaluation of an ensemble of models of the reviews in `data/fetch`."""
    runs = (f"{member.training.run_id} × {member.weight:.4g}" for member in request.members)
    data = data_of(request.members[0].training)
    return AboutEvaluate(
        dataset=read_about(FETCH, AboutFetch).dataset,
        evaluate=request.params,
        digests={TEST_DIGEST: data[TEST_DIGEST]},
        other={SHUFFLE: data[SHUFFLE], RUNS: ", ".join(runs)},
    )


def evaluate(
    request: EnsembleRequest,
    data: Data,
    artifacts: Mapping[str, str],
    about: AboutEvaluate,
    folder: Path,
) -> None:
    """Evaluate the model that these files are as where it is served, see `unpadded.evaluate`."""
    served = SentimentModel()
    served.load({name: Path(path) for name, path in artifacts.items()})

    def predict(reviews: list[Ranks]) -> NDArray[np.float32]:
        return served.classifier.predict_probability([ranks.tolist() for ranks in reviews])

    trainings = [member.training for member in request.members]
    model = unpadded.Model(
        predict,
        parameters=sum(training.cost["parameters"] for training in trainings),
        seconds=sum(float(training.history["seconds"].sum()) for training in trainings),
    )
    unpadded.evaluate(folder, model, data, about, request.name)


def summary(ensemble: Mapping[str, Any]) -> str:
    """Return the result of `make` as a text for a reader."""
    accuracy = ensemble["metrics"]["test_accuracy"]
    return f"{ensemble['name']}: run {ensemble['run_id']}\nTest Accuracy: {accuracy:.4f}"
