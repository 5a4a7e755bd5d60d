"""An ensemble's run in MLflow, made once for the same members."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common import evaluated_runs, run_groups, unpadded
from extras.common.unpadded import Data, Ranks
from extras.ensemble.members import RUNS, SHUFFLE, Member, choose, data_of, download
from sentiment.errors import UserError
from sentiment.section import flatten
from sentiment.serving.classifier import Sentiment
from sentiment.text import Word
from workflow import files
from workflow.evaluation import Served, TestIdentity, publish
from workflow.files import EVALUATE, FETCH, TEST_DATA, arrays
from workflow.params import Params, load_params
from workflow.registry import champion, packaging
from workflow.registry.versions import SERVED_DIGEST
from workflow.runs import identity, logger, store
from workflow.runs.logger import Run, RunLogger

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

KEY = "ensemble.key"  # tag of the run: what it is made from


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


def make(names: Sequence[str]) -> dict[str, Any]:
    """Make the ensemble of runs and groups, see `evaluated_runs.read`, unless it is there.

    Returns:
        The run's id, name and metrics, and the weights of the members by their runs.

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
        weights = {member.training.run_id: member.weight for member in members}
        versions = [champion.evaluated_version(client, run_id) for run_id in weights]
        name = f"ensemble: {' + '.join(group.name for group in groups)}"
        request = EnsembleRequest(name, members, versions, params)
        same = client.search_runs([experiment_id], f"tags.`{KEY}` = '{request.key}'")
        complete = (run for run in same if logger.COMPLETE.format("evaluate") in run.data.tags)
        run = next(complete, None) or evaluate_and_log(client, experiment_id, request, folder)
    named = {"run_id": run.info.run_id, "name": str(run.info.run_name)}
    return {**named, "weights": weights, "metrics": dict(run.data.metrics)}


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
    parts = download(request.members, request.versions, request.params.evaluate.threshold, models)
    history = evaluate(request, data, packaging.write_artifacts(models, parts), folder)
    with run_groups.exclusive():
        begun = run_groups.find_or_make(client, experiment_id, KEY, request.key)
    run = Run(begun.info.run_id, request.name, experiment_id, "")
    log = RunLogger(run, begun.info.start_time, "Logging to MLflow stops here")
    log_origin(log, request, files.read_about(folder)["params"])
    log.curves(history.set_index("epoch"), [log.begun])
    metrics, reviews = files.read_json(folder / "metrics.json"), data.test.reviews
    test = TestIdentity(f"{metrics['dataset']}-test", data.test.digest)
    log.dataset(test.dataset, "test", (reviews.tokens, reviews.labels), FETCH, test.digest)
    tags = {TEST_DATA: request.members[0].training.params[TEST_DATA]}
    publish(log, folder, metrics, test, Served(parts, tags, request.params.promote))
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
    shares = [member.training.params["train.validation_split"] for member in members]
    return unpadded.read_data(wanted[SHUFFLE], shares)


def evaluate(
    request: EnsembleRequest, data: Data, artifacts: Mapping[str, str], folder: Path
) -> pd.DataFrame:
    """Ask the model that these files are as where it is served, see `unpadded.evaluate`."""
    served = Sentiment()
    served.load({name: Path(path) for name, path in artifacts.items()})

    def ask(reviews: list[Ranks]) -> NDArray[np.float32]:
        """The words of a review whose text is not known have no place in it."""
        return served.reader.answers(
            [[Word(0, 0, rank) for rank in ranks.tolist()] for ranks in reviews]
        )

    members, options = request.members, request.params.evaluate
    parameters = sum(member.training.cost["parameters"] for member in members)
    seconds = sum(float(member.training.history["seconds"].sum()) for member in members)
    runs = ", ".join(f"{member.training.run_id} × {member.weight:.4g}" for member in members)
    used = {**data_of(members[0].training), RUNS: runs, **flatten(options, "evaluate")}
    model = unpadded.Model(ask, parameters, seconds)
    return unpadded.evaluate(folder, model, data, used, request.name, options)


def log_origin(log: RunLogger, request: EnsembleRequest, params: Mapping[str, str]) -> None:
    """Log what leads back from the run, the members' models included."""
    import mlflow

    log.tags({"mlflow.runName": request.name, **identity.provenance(), **identity.describe()})
    log.diff(identity.uncommitted_diff())
    mlflow.log_params(dict(params), run_id=log.run.run_id)
    champion.log_use(log, request.versions)


def summary(ensemble: Mapping[str, Any]) -> str:
    """What `make` returns, for a reader."""
    weights = [f"{weight:>8.3f}  {run_id}" for run_id, weight in ensemble["weights"].items()]
    named = f"{ensemble['name']}: run {ensemble['run_id']}"
    accuracy = f"Test Accuracy: {ensemble['metrics']['test_accuracy']:.4f}"
    return "\n".join([f"{'weight':>8}  run", *weights, named, accuracy])
