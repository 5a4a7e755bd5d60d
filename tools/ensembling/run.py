"""An ensemble's run in MLflow, made once for the same members."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from extras.common import run_groups
from sentiment.errors import UserError
from sentiment.scoring.answers import TestSet
from sentiment.section import flatten
from sentiment.serving.classifier import Sentiment
from tools.comparing import sides
from tools.ensembling import evaluation
from tools.ensembling import members as choice
from tools.ensembling.members import Member
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


class Made(NamedTuple):
    """What is reported: the run, the members' runs with their weights, and the metrics."""

    run_id: str
    name: str
    weights: dict[str, float]
    metrics: dict[str, float]


def make(names: Sequence[str]) -> Made:
    """Make the ensemble of these sides, see `tools.comparing.sides.read`, unless it is there.

    Raises:
        UserError: a side is none, they do not go together, or the store cannot be used.
    """
    import mlflow

    params, experiment_id = load_params(), store.connect()
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as scratch, store.as_user_error():
        folder = Path(scratch)
        found = [sides.read(name, folder / f"side-{at}") for at, name in enumerate(names)]
        members = choice.choose(found)
        versions = choice.versions_of(members)
        key = key_of(members, versions, params)
        run = find(client, experiment_id, key)
        if run is None:
            name = f"ensemble: {' + '.join(side.name for side in found)}"
            work = Work(name, members, versions, params, key)
            run = log_work(client, experiment_id, work, evaluated(work, folder))
    weights = {member.training.run_id: member.weight for member in members}
    return Made(run.info.run_id, str(run.info.run_name), weights, dict(run.data.metrics))


class Work(NamedTuple):
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
    shaping = {**flatten(params.evaluate, "evaluate"), "members": sorted(answered_by)}
    return fingerprint(shaping)


def find(
    client: "mlflow.MlflowClient", experiment_id: str, key: str
) -> "mlflow.entities.Run | None":
    """The run that has all of this ensemble, or None."""
    for run in client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'"):
        if logger.COMPLETE.format(EVALUATE.name) in run.data.tags:
            return run
    return None


def evaluated(work: Work, scratch: Path) -> Evaluated:
    """Put the ensemble together, ask it, and write what follows as `evaluate` does."""
    data = evaluation.read_data(work.members)
    options = work.params.evaluate
    got, folder = scratch / "models", scratch / EVALUATE.name
    got.mkdir()
    folder.mkdir()
    parts = choice.download(work.members, work.versions, options.threshold, got)
    model = Sentiment()
    artifacts = packaging.write_artifacts(got, parts)
    model.load({name: Path(path) for name, path in artifacts.items()})
    answered = evaluation.answer(model.reader, work.members, data, work.name, options)
    write(folder, answered.evaluation)
    answered.history.to_csv(folder / HISTORY, index=False)
    files.write_json(folder / "cost.json", answered.cost)
    files.write_about(folder, evaluation.shaping_of(work.members, options))
    return Evaluated(parts, folder, data.test, answered.evaluation.metrics)


def log_work(
    client: "mlflow.MlflowClient", experiment_id: str, work: Work, made: Evaluated
) -> "mlflow.entities.Run":
    """Log the ensemble as a run of its own, and register it; return the run.

    Raises:
        UserError: the store failed meanwhile.
    """
    with run_groups.exclusive():
        begun = run_groups.find_or_make(client, experiment_id, KEY, work.key)
    run = Run(begun.info.run_id, work.name, experiment_id, "")
    log = RunLogger(run, begun.info.start_time, UNLOGGED)
    log.tags({"mlflow.runName": work.name, **provenance(), **identity.describe()})
    log.diff(uncommitted_diff())
    log.params(files.read_about(made.folder)["params"])
    log.models([champion.model_id(version) for version in work.versions])
    history = pd.read_csv(made.folder / HISTORY)
    log.curves(history.set_index("epoch"), [begun.info.start_time])
    test = TestIdentity(f"{made.metrics['dataset']}-test", made.test.digest)
    arrays = made.test.reviews.tokens, made.test.reviews.labels
    log.dataset(test.dataset, "test", arrays, FETCH, test.digest)
    tags = {TEST_DATA: work.members[0].training.params[TEST_DATA]}
    publish(log, made.folder, made.metrics, test, Served(made.parts, tags, work.params.promote))
    if log.lost:
        raise UserError(f"The ensemble's run {run.run_id} is incomplete: run the command again.")
    return client.get_run(run.run_id)


def summary(made: Made) -> str:
    """What is reported, for a reader."""
    rows = [f"{weight:>8.3f}  {run_id}" for run_id, weight in made.weights.items()]
    accuracy = made.metrics["test_accuracy"]
    return "\n".join(
        [
            f"{'weight':>8}  run",
            *rows,
            f"{made.name}: run {made.run_id}",
            f"Test Accuracy: {accuracy:.4f}",
        ]
    )
