"""Read the members of an ensemble, evaluate the ensemble, and log it as a run in MLflow."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.entities.model_registry import ModelVersion

from extras.common import evaluated_runs
from extras.common.model_versions import run_with_versions
from extras.ensemble import evaluation
from extras.ensemble.evaluation import EnsembleDataset, EnsembleEvaluation
from extras.ensemble.member_models import download_package
from extras.ensemble.members import RUNS, Member, choose_members, review_params
from sentiment.errors import UserError
from sentiment.evaluation.params import EvaluateParams
from sentiment.serving.pyfunc_model import SentimentModel
from workflow import files, outputs, provenance, publish, tracking
from workflow.about import AboutEvaluate, AboutFetch, read_about, write_about
from workflow.files import EVALUATE, FETCH, TRAIN, array_names
from workflow.outputs import TEST_DIGEST
from workflow.params import load_params
from workflow.registry import champion, packaging
from workflow.registry.model_card import SplitSizes
from workflow.registry.packaging import ModelPackage
from workflow.tracking import Run, calls_store

HISTORY_FILE = "history.csv"


class EnsembleRequest(NamedTuple):
    """An ensemble to evaluate.

    Attributes:
        name: name of the run.
        members: the members.
        versions: the registered version of each member.
        params: the section `evaluate`.
    """

    name: str
    members: list[Member]
    versions: list[ModelVersion]
    params: EvaluateParams


def create_ensemble(names: Sequence[str]) -> dict[str, Any]:
    """Evaluate and register the ensemble of runs and groups, see `read_run_group`.

    Returns:
        The run's id, name and metrics, and the weights of the members by their runs.

    Raises:
        UserError: a run is missing, the members have different reviews, or the store cannot be
            used.
    """
    params = load_params().evaluate
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        groups = [
            evaluated_runs.read_run_group(name, folder / str(number))
            for number, name in enumerate(names)
        ]
        members = choose_members(groups)
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
    """Evaluate an ensemble, log it as a run, and register it as a version.

    Args:
        request: the ensemble.
        scratch: a folder for files that are needed until the end.

    Returns:
        The run's id.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    folder = scratch / EVALUATE.name
    folder.mkdir()
    models = scratch / "models"
    models.mkdir()
    dataset = read_dataset(request.members)
    about = describe_evaluation(request)
    package = download_package(request.members, request.versions, about, models)
    model = load_package(package, models)
    result = evaluation.evaluate_ensemble(
        model.classifier.predict_probability,
        request.members,
        dataset,
        outputs.read_vocabulary(),
        about.dataset.name,
        request.name,
        request.params,
    )
    write_result(folder, result, about)
    with run_with_versions(
        request.versions, request.name, about.flat_params(), {"dataset": about.dataset.name}
    ) as run:
        log_result(run, folder, result, dataset, package)
    return run.run_id


def read_dataset(members: Sequence[Member]) -> EnsembleDataset:
    """Read the reviews that the members were trained and evaluated on from `data/fetch`.

    Raises:
        UserError: `data/fetch` has other reviews.
    """
    expected = review_params(members[0].training)
    present = {
        **read_about(FETCH, AboutFetch).flat_params(),
        TEST_DIGEST: files.joint_digest(FETCH, array_names("test")),
    }
    if present != expected:
        raise UserError(
            f"{FETCH} has other reviews than the models were evaluated on. Set the "
            f"params of fetch as in their runs (fetch.dataset: {expected['fetch.dataset']}), then "
            "run `dvc repro fetch`."
        )
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    return evaluation.split_reviews(train, test, members)


def describe_evaluation(request: EnsembleRequest) -> AboutEvaluate:
    """Describe the evaluation of an ensemble on the reviews in `data/fetch`."""
    runs = (f"{member.training.run_id} × {member.weight:.4g}" for member in request.members)
    expected = review_params(request.members[0].training)
    return AboutEvaluate(
        dataset=read_about(FETCH, AboutFetch).dataset,
        evaluate=request.params,
        digests={TEST_DIGEST: expected[TEST_DIGEST]},
        other={RUNS: ", ".join(runs)},
    )


def load_package(package: ModelPackage, folder: Path) -> SentimentModel:
    """Load a model package as it is loaded where it is served.

    Args:
        package: the model package.
        folder: a folder that gets the package's config.
    """
    model = SentimentModel()
    artifacts = packaging.write_artifacts(folder, package)
    model.load({name: Path(path) for name, path in artifacts.items()})
    return model


def write_result(folder: Path, result: EnsembleEvaluation, about: AboutEvaluate) -> None:
    """Write what the stage `evaluate` writes, and the history, into an empty folder."""
    outputs.write_evaluation(folder, result.evaluation)
    result.history.to_csv(folder / HISTORY_FILE, index=False)
    files.write_json(folder / "cost.json", result.cost)
    write_about(folder, about)


def log_result(
    run: Run,
    folder: Path,
    result: EnsembleEvaluation,
    dataset: EnsembleDataset,
    package: ModelPackage,
) -> None:
    """Log what `write_result` wrote, and register the ensemble."""
    if diff := provenance.uncommitted_diff():
        tracking.log_text(run, f"{diff}\n", tracking.DIFF_FILE)
    tracking.log_points(run, tracking.epoch_points(result.history, tracking.now_ms()))
    tracking.log_files(run, folder, [HISTORY_FILE], TRAIN.name)
    about = read_about(folder, AboutEvaluate)
    reviews = dataset.test.reviews
    digest = files.short_digest(FETCH, array_names("test"))
    record = tracking.describe_arrays(
        f"{about.dataset.name}-test", "test", reviews.tokens, reviews.labels, FETCH, digest
    )
    sizes = SplitSizes(len(dataset.train_order), len(dataset.val_order))
    publish.publish_evaluation(run, folder, about, record, package, sizes)


def format_result(ensemble: Mapping[str, Any]) -> str:
    """Return the result of `create_ensemble` as a text for a reader."""
    accuracy = ensemble["metrics"]["test_accuracy"]
    return f"{ensemble['name']}: run {ensemble['run_id']}\nTest Accuracy: {accuracy:.4f}"
