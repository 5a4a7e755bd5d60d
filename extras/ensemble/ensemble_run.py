"""An ensemble's run in MLflow, made once for the same members."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common import evaluated_runs, run_groups
from extras.common.history import history, in_parts
from extras.common.unpadded import unpadded
from extras.ensemble.members import RUNS, SHUFFLE, Member, choose, data_of, download
from sentiment.errors import UserError
from sentiment.network.batches import split
from sentiment.padding import seen, shuffled
from sentiment.scoring.answers import TestSet, evaluate_answers, predictions_table, texts_of
from sentiment.section import flatten
from sentiment.serving.classifier import Reader, Sentiment
from sentiment.text import Reviews, Word
from workflow import files
from workflow.evaluation import HISTORY, Served, TestIdentity, publish, read_words, write
from workflow.files import EVALUATE, FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import Params, dataset_name, load_params
from workflow.registry import champion, packaging
from workflow.registry.packaging import Parts
from workflow.registry.versions import SERVED_DIGEST
from workflow.runs import identity, logger, store
from workflow.runs.logger import Run, RunLogger

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

KEY = "ensemble.key"  # tag of the run: what it is made from


class EnsembleResult(NamedTuple):
    """What is reported: the run, the members' runs with their weights, and the metrics."""

    run_id: str
    name: str
    weights: dict[str, float]
    metrics: dict[str, float]


class EnsembleRequest(NamedTuple):
    """What is evaluated: the run's name, the members, and a registered version of each."""

    name: str
    members: list[Member]
    versions: "list[ModelVersion]"
    params: Params

    @property
    def key(self) -> str:
        """A name for all that the ensemble answers by, and how it is evaluated."""
        answered_by = [
            [version.tags[SERVED_DIGEST], member.weight]
            for member, version in zip(self.members, self.versions, strict=True)
        ]
        options = flatten(self.params.evaluate, "evaluate")
        return identity.fingerprint({**options, "members": sorted(answered_by)})


class Data(NamedTuple):
    """The test part, and of the training part the positions that all, or none, learned from."""

    test: TestSet
    train: Reviews
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]


def make(names: Sequence[str]) -> EnsembleResult:
    """Make the ensemble of runs and groups, see `evaluated_runs.read`, unless it is there.

    Raises:
        UserError: one is not there, they do not go together, or the store cannot be used.
    """
    import mlflow

    params, experiment_id = load_params(), store.connect()
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as scratch, store.as_user_error():
        folder = Path(scratch)
        groups = [evaluated_runs.read(name, folder / str(at)) for at, name in enumerate(names)]
        members = choose(groups)
        runs = [member.training.run_id for member in members]
        versions = [champion.evaluated_version(client, run_id) for run_id in runs]
        name = f"ensemble: {' + '.join(group.name for group in groups)}"
        request = EnsembleRequest(name, members, versions, params)
        same = client.search_runs([experiment_id], f"tags.`{KEY}` = '{request.key}'")
        complete = (run for run in same if logger.COMPLETE.format("evaluate") in run.data.tags)
        run = next(complete, None) or evaluate_and_log(client, experiment_id, request, folder)
    weights = {member.training.run_id: member.weight for member in members}
    return EnsembleResult(run.info.run_id, str(run.info.run_name), weights, dict(run.data.metrics))


def evaluate_and_log(
    client: "mlflow.MlflowClient", experiment_id: str, request: EnsembleRequest, scratch: Path
) -> "mlflow.entities.Run":
    """Evaluate an ensemble, as a run of its own and a version of the registered model.

    Raises:
        UserError: the store failed meanwhile.
    """
    folder, models = scratch / EVALUATE.name, scratch / "models"
    folder.mkdir()
    models.mkdir()
    data = read_data(request.members)
    threshold = request.params.evaluate.threshold
    parts = download(request.members, request.versions, threshold, models)
    evaluate(request, data, load(parts, models), folder)
    with run_groups.exclusive():
        begun = run_groups.find_or_make(client, experiment_id, KEY, request.key)
    run = Run(begun.info.run_id, request.name, experiment_id, "")
    log = RunLogger(run, begun.info.start_time, "Logging to MLflow stops here")
    log_evaluation(log, request, data.test, parts, folder)
    if log.lost:
        raise UserError(f"The ensemble's run {run.run_id} is incomplete: run the command again.")
    return client.get_run(run.run_id)


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
    train, test = read_reviews(FETCH, "train"), read_reviews(FETCH, "test")
    order, test_order = shuffled(len(train), len(test), wanted[SHUFFLE])
    shares = [member.training.params["train.validation_split"] for member in members]
    learned, _ = split(order, train.labels[order], max(shares))
    _, validation = split(order, train.labels[order], min(shares))
    return Data(unpadded(test, test_order, seen(test, train)), train, learned.x, validation.x)


def load(parts: Parts, scratch: Path) -> Reader:
    """What answers for a model that is put together from its parts, as where it is served."""
    model = Sentiment()
    artifacts = packaging.write_artifacts(scratch, parts)
    model.load({name: Path(path) for name, path in artifacts.items()})
    return model.reader


def evaluate(request: EnsembleRequest, data: Data, reader: Reader, folder: Path) -> None:
    """Ask an ensemble about all reviews, and write what follows as the stage `evaluate` does."""
    members, options = request.members, request.params.evaluate
    begun = time.perf_counter()
    probabilities = answers(reader, data.test.reviews, data.test.order)
    taken = 1000 * (time.perf_counter() - begun) / len(probabilities)
    predictions = predictions_table(data.test, probabilities, options.threshold)
    used, texts = data_of(members[0].training), texts_of(data.test, read_words())
    write(folder, evaluate_answers(predictions, texts, dataset_name(used), request.name, options))
    parts = [
        (data.train.labels[order], answers(reader, data.train, order))
        for order in (data.learned, data.validation)
    ]
    seconds = sum(float(member.training.history["seconds"].sum()) for member in members)
    history(parts, seconds).to_csv(folder / HISTORY, index=False)
    parameters = sum(member.training.cost["parameters"] for member in members)
    cost = {"parameters": parameters, "milliseconds_per_review": taken}
    files.write_json(folder / "cost.json", cost)
    runs = ", ".join(f"{member.training.run_id} × {member.weight:.4g}" for member in members)
    files.write_about(folder, {**used, RUNS: runs, **flatten(options, "evaluate")})


def answers(reader: Reader, reviews: Reviews, order: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probability of being positive for these reviews, in this order, shape (reviews,)."""

    def ask(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The words of a review whose text is not known have no place in it."""
        ranks = [reviews[position].tolist() for position in positions]
        return reader.answers([[Word(0, 0, rank) for rank in review] for review in ranks])

    return in_parts(ask, order)


def log_evaluation(
    log: RunLogger, request: EnsembleRequest, test: TestSet, parts: Parts, folder: Path
) -> None:
    """Log the evaluation in a folder, and register the model that is made from the parts."""
    import mlflow

    log.tags({"mlflow.runName": request.name, **identity.provenance(), **identity.describe()})
    log.diff(identity.uncommitted_diff())
    mlflow.log_params(files.read_about(folder)["params"], run_id=log.run.run_id)
    champion.log_use(log, request.versions)
    log.curves(pd.read_csv(folder / HISTORY).set_index("epoch"), [log.begun])
    metrics = files.read_json(folder / "metrics.json")
    asked = TestIdentity(f"{metrics['dataset']}-test", test.digest)
    texts = test.reviews.tokens, test.reviews.labels
    log.dataset(asked.dataset, "test", texts, FETCH, asked.digest)
    tags = {TEST_DATA: request.members[0].training.params[TEST_DATA]}
    publish(log, folder, metrics, asked, Served(parts, tags, request.params.promote))


def summary(result: EnsembleResult) -> str:
    """What is reported, for a reader."""
    lines = [f"{'weight':>8}  run"]
    lines += [f"{weight:>8.3f}  {run_id}" for run_id, weight in result.weights.items()]
    lines += [f"{result.name}: run {result.run_id}"]
    lines += [f"Test Accuracy: {result.metrics['test_accuracy']:.4f}"]
    return "\n".join(lines)
