"""An ensemble's run in MLflow, made once for the same members."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from extras.common import evaluated_runs, run_groups
from extras.ensemble import ensemble_evaluation
from extras.ensemble import members as choice
from extras.ensemble.members import Member
from sentiment.errors import UserError
from sentiment.scoring.answers import TestSet
from sentiment.section import flatten
from sentiment.serving.classifier import Sentiment
from workflow import files
from workflow.evaluation import HISTORY, Served, TestIdentity, publish, write
from workflow.files import EVALUATE, FETCH, TEST_DATA
from workflow.params import Params, load_params
from workflow.registry import champion, packaging
from workflow.registry import versions as registry
from workflow.registry.packaging import Parts
from workflow.runs import identity, logger, store
from workflow.runs.identity import fingerprint, provenance, uncommitted_diff
from workflow.runs.logger import Run, RunLogger

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

KEY = "ensemble.key"  # tag of the run: what it is made from
UNLOGGED = "Logging to MLflow stops here"


class EnsembleResult(NamedTuple):
    """What is reported: the run, the members' runs with their weights, and the metrics."""

    run_id: str
    name: str
    weights: dict[str, float]
    metrics: dict[str, float]


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
        members = choice.choose(groups)
        versions = choice.versions_of(members)
        key = key_of(members, versions, params)
        run = find(client, experiment_id, key)
        if run is None:
            name = f"ensemble: {' + '.join(group.name for group in groups)}"
            request = EnsembleRequest(name, members, versions, params, key)
            run = log_ensemble(client, experiment_id, request, evaluated(request, folder))
    weights = {member.training.run_id: member.weight for member in members}
    return EnsembleResult(run.info.run_id, str(run.info.run_name), weights, dict(run.data.metrics))


class EnsembleRequest(NamedTuple):
    """What is to be evaluated and logged.

    Attributes:
        name: of the run.
        members: of the ensemble.
        versions: of the registered model, one for each member.
        params: all of them.
        key: see `key_of`.
    """

    name: str
    members: list[Member]
    versions: "list[ModelVersion]"
    params: Params
    key: str


class Evaluated(NamedTuple):
    """An ensemble as it is to be served, and the folder with its evaluation."""

    parts: Parts
    folder: Path
    test: TestSet
    metrics: dict[str, Any]


def key_of(members: Sequence[Member], versions: "Sequence[ModelVersion]", params: Params) -> str:
    """A name for an ensemble, from all that it answers by and how it is evaluated."""
    answered_by = [
        [version.tags[registry.SERVED_DIGEST], member.weight]
        for member, version in zip(members, versions, strict=True)
    ]
    return fingerprint({**flatten(params.evaluate, "evaluate"), "members": sorted(answered_by)})


def find(
    client: "mlflow.MlflowClient", experiment_id: str, key: str
) -> "mlflow.entities.Run | None":
    """The run that has all of this ensemble, or None."""
    for run in client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'"):
        if logger.COMPLETE.format(EVALUATE.name) in run.data.tags:
            return run
    return None


def evaluated(request: EnsembleRequest, scratch: Path) -> Evaluated:
    """Put the ensemble together, ask it, and write what follows as `evaluate` does."""
    data = ensemble_evaluation.read_data(request.members)
    options = request.params.evaluate
    models, folder = scratch / "models", scratch / EVALUATE.name
    models.mkdir()
    folder.mkdir()
    parts = choice.download(request.members, request.versions, options.threshold, models)
    model = Sentiment()
    artifacts = packaging.write_artifacts(models, parts)
    model.load({name: Path(path) for name, path in artifacts.items()})
    answered = ensemble_evaluation.answer(
        model.reader, request.members, data, request.name, options
    )
    write(folder, answered.evaluation)
    answered.history.to_csv(folder / HISTORY, index=False)
    files.write_json(folder / "cost.json", answered.cost)
    files.write_about(folder, ensemble_evaluation.settings_used(request.members, options))
    return Evaluated(parts, folder, data.test, answered.evaluation.metrics)


def log_ensemble(
    client: "mlflow.MlflowClient", experiment_id: str, request: EnsembleRequest, answered: Evaluated
) -> "mlflow.entities.Run":
    """Log the ensemble as a run of its own, and register it; return the run.

    Raises:
        UserError: the store failed meanwhile.
    """
    from mlflow.entities import Param

    with run_groups.exclusive():
        begun = run_groups.find_or_make(client, experiment_id, KEY, request.key)
    run = Run(begun.info.run_id, request.name, experiment_id, "")
    log = RunLogger(run, begun.info.start_time, UNLOGGED)
    log.tags({"mlflow.runName": request.name, **provenance(), **identity.describe()})
    log.diff(uncommitted_diff())
    params = run_groups.as_text(files.read_about(answered.folder)["params"])
    client.log_batch(run.run_id, params=[Param(*pair) for pair in params.items()])
    champion.log_use(log, request.versions)
    history = pd.read_csv(answered.folder / HISTORY)
    log.curves(history.set_index("epoch"), [begun.info.start_time])
    test = TestIdentity(f"{answered.metrics['dataset']}-test", answered.test.digest)
    arrays = answered.test.reviews.tokens, answered.test.reviews.labels
    log.dataset(test.dataset, "test", arrays, FETCH, test.digest)
    tags = {TEST_DATA: request.members[0].training.params[TEST_DATA]}
    served = Served(answered.parts, tags, request.params.promote)
    publish(log, answered.folder, answered.metrics, test, served)
    if log.lost:
        raise UserError(f"The ensemble's run {run.run_id} is incomplete: run the command again.")
    return client.get_run(run.run_id)


def summary(result: EnsembleResult) -> str:
    """What is reported, for a reader."""
    rows = [f"{weight:>8.3f}  {run_id}" for run_id, weight in result.weights.items()]
    accuracy = result.metrics["test_accuracy"]
    return "\n".join(
        [
            f"{'weight':>8}  run",
            *rows,
            f"{result.name}: run {result.run_id}",
            f"Test Accuracy: {accuracy:.4f}",
        ]
    )
