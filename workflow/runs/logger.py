"""What is logged to a run, each at once or not at all; logged again, nothing is there twice."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec
from uuid import uuid4

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow import files, signals
from workflow.runs import store

if TYPE_CHECKING:
    import keras
    import mlflow

MODEL = "model"
LINEAR_PACKAGES = ("numpy", "pandas", "mlflow")  # what serves a linear model
SERVING_PACKAGES = ("tensorflow", "keras", *LINEAR_PACKAGES)  # what serves a network
COMPLETE = "outputs.{}"  # tag: digest of a folder's about.json, once the run has all of it
DIFF = "train/uncommitted.diff"
BATCH = 1000  # metrics that MLflow takes in one call
UNLOGGED = "Logging to MLflow stops here, `make sync` completes it later"
Arguments = ParamSpec("Arguments")


class Run(NamedTuple):
    """What identifies a run and its model, if it has one, in the tracking store."""

    run_id: str
    name: str
    experiment_id: str
    model_id: str


def guarded(
    write: "Callable[Concatenate[RunLogger, Arguments], object]",
) -> "Callable[Concatenate[RunLogger, Arguments], None]":
    """Let a function that logs do nothing once the store has failed, and note it where it fails.

    Raises:
        Interrupted: a signal came meanwhile.
    """

    @wraps(write)
    def unless_lost(log: "RunLogger", /, *given: Arguments.args, **named: Arguments.kwargs) -> None:
        with signals.deferred():
            if not log.lost:
                with store.tolerating_errors(log.consequence) as attempt:
                    write(log, *given, **named)
                log.lost = attempt.failed

    return unless_lost


class RunLogger:
    """Logs to one run until the store fails; says so once, and does nothing from then on.

    Attributes:
        run: the run.
        begun: when it began, in milliseconds since 1970.
        consequence: what is printed where the store fails: what becomes of the rest.
        lost: whether the store has failed.
    """

    def __init__(self, run: Run, begun: int, consequence: str = UNLOGGED) -> None:
        self.run = run
        self.begun = begun
        self.consequence = consequence
        self.lost = False

    @classmethod
    def to_nothing(cls, name: str) -> "RunLogger":
        """A logger that logs nothing, of a run that no store has."""
        log = cls(Run(uuid4().hex, name, "", ""), now())
        log.lost = True
        return log

    @guarded
    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        _client().log_batch(self.run.run_id, tags=[RunTag(*tag) for tag in values.items()])

    @guarded
    def params(self, values: Mapping[str, Any]) -> None:
        """Log params."""
        from mlflow.entities import Param

        known = [Param(name, str(value)) for name, value in values.items()]
        _client().log_batch(self.run.run_id, params=known)

    @guarded
    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """Log an epoch's metrics at its step, at once, so that a training can be watched.

        An epoch that is trained again, since its checkpoint was damaged, was logged already.
        """
        import mlflow

        there = _client().get_metric_history(self.run.run_id, next(iter(row)))
        if number not in {point.step for point in there}:
            model_id = self.run.model_id or None
            mlflow.log_metrics(dict(row), step=number, run_id=self.run.run_id, model_id=model_id)

    def history(self, table: pd.DataFrame) -> None:
        """Log what is missing of a history, see `sentiment.network.state.Trained`."""
        ended = self.begun + (1000 * table["seconds"].cumsum()).astype(int)
        self.curves(table.set_index("epoch"), ended.tolist())

    @guarded
    def curves(self, table: pd.DataFrame, moments: Sequence[int]) -> None:
        """Log the points that the run or its model lacks: one for each metric and step.

        A point that the run has already keeps its time and its value: an epoch that was trained
        again took other seconds.

        Args:
            table: a column for each metric, a row for each step, which is the index.
            moments: when each step was, in milliseconds since 1970.
        """
        from mlflow.entities import Metric

        client, run_id, model_id = _client(), self.run.run_id, self.run.model_id or None
        model = client.get_logged_model(model_id) if model_id else None
        linked = {(metric.key, metric.step) for metric in (model.metrics if model else None) or []}
        points = []
        for name in table.columns:
            logged = client.get_metric_history(run_id, name)
            there = {point.step: (point.value, point.timestamp) for point in logged}
            points += [
                Metric(name, *there.get(step, (float(value), int(moment))), int(step), model_id)
                for step, value, moment in zip(table.index, table[name], moments, strict=True)
                if step not in there or (model and (name, step) not in linked)
            ]
        for start in range(0, len(points), BATCH):
            client.log_batch(run_id, points[start : start + BATCH])

    @guarded
    def metrics(self, values: Mapping[str, float], dataset: str, digest: str) -> None:
        """Log metrics of the model on a data set, without a step."""
        from mlflow.entities import Metric

        moment, model_id = now(), self.run.model_id or None
        points = [
            Metric(name, value, moment, 0, model_id, dataset, digest)
            for name, value in values.items()
        ]
        _client().log_batch(self.run.run_id, points)

    @guarded
    def models(self, model_ids: Sequence[str]) -> None:
        """Record, once, that the run uses these models."""
        from mlflow.entities import LoggedModelInput

        inputs = _client().get_run(self.run.run_id).inputs
        there = {used.model_id for used in inputs.model_inputs} if inputs else set()
        new = [LoggedModelInput(model_id) for model_id in model_ids if model_id not in there]
        if new:
            _client().log_inputs(self.run.run_id, models=new)

    @guarded
    def dataset(
        self,
        name: str,
        context: str,
        arrays: tuple[NDArray[Any], NDArray[Any]] | None,
        source: Path | str,
        digest: str,
    ) -> None:
        """Record, once, that the run uses a data set; `arrays` are its token ids and labels."""
        from mlflow.data.dataset_source_registry import get_dataset_source_from_json
        from mlflow.data.numpy_dataset import from_numpy
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = _client().get_run(self.run.run_id).inputs
        if inputs and digest in {there.dataset.digest for there in inputs.dataset_inputs}:
            return
        place = json.dumps({"uri": str(source)})
        described = Dataset(name, digest, "local", place)
        if arrays:
            x, y = arrays
            origin = get_dataset_source_from_json(place, "local")
            known = from_numpy(x, targets=y, source=origin, name=name, digest=digest)
            described = Dataset(**known.to_dict())
        used = DatasetInput(described, [InputTag("mlflow.data.context", context)])
        _client().log_inputs(self.run.run_id, [used])

    def folder(self, folder: Path, place: str, names: Sequence[str] = ()) -> None:
        """Log files of a folder, by default all, to a place in the run.

        Raises:
            UserError: a file is not as the folder's `about.json` says.
        """
        written = names or sorted(files.read_about(folder)["files"])
        for name in written:
            files.checked(folder / name)
        self._upload(folder, written if names else [*written, files.ABOUT], place)

    @guarded
    def _upload(self, folder: Path, names: Sequence[str], place: str) -> None:
        upload(self.run, folder, names, place)

    @guarded
    def diff(self, text: str) -> None:
        """Log what the code had of changes without a commit, if it had any."""
        if text:
            _client().log_text(self.run.run_id, f"{text}\n", DIFF)

    @guarded
    def keras_model(self, model: "keras.Model", epochs: int) -> None:
        """Log the Keras model with its signature, an input example and the packages to serve it.

        The run must be the active one. `epochs` is the step at which its curves end: MLflow links
        the run's points at that step to the model, and fails over the test's metrics, which have
        step 0.
        """
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        if is_logged(self.run.model_id):
            return
        example = np.zeros((1, model.input_shape[1]), np.int32)  # no review: those stay here
        inputs = Schema([TensorSpec(np.dtype("int32"), (-1, example.shape[1]))])
        outputs = Schema([TensorSpec(np.dtype("float32"), (-1, 1))])
        with _no_progress_bar():  # MLflow tries the example
            mlflow.tensorflow.log_model(
                model,
                name=MODEL,
                model_id=self.run.model_id,
                step=epochs,
                signature=ModelSignature(inputs, outputs),
                input_example=example,
                pip_requirements=serving_requirements(),
            )

    def complete(self, stage: str, folder: Path) -> None:
        """Tag the run: it has all that a stage wrote into a folder, as that is now."""
        self.tags({COMPLETE.format(stage): files.sha256(folder / files.ABOUT)})


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 10**6


def _client() -> "mlflow.MlflowClient":
    import mlflow

    return mlflow.MlflowClient()


def upload(run: Run, folder: Path, names: Sequence[str], place: str) -> None:
    """Log files of a folder to a place in a run, or raise what the store raises."""
    for name in names:
        _client().log_artifact(run.run_id, str(folder / name), place)


def is_complete(tags: Mapping[str, str], folder: Path) -> bool:
    """Whether a run, by its tags, has all of a stage's folder as that is now."""
    about = folder / files.ABOUT
    return about.exists() and tags.get(COMPLETE.format(folder.name)) == files.sha256(about)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """In the block, Keras shows no bar for what it predicts."""
    from keras import config

    shown = config.is_interactive_logging_enabled()
    config.disable_interactive_logging()
    try:
        yield
    finally:
        if shown:
            config.enable_interactive_logging()


def serving_requirements(packages: Sequence[str] = SERVING_PACKAGES) -> list[str]:
    """The packages that serve a model; MLflow's own inference of them takes a quarter minute."""
    return [f"{package}=={version(package)}" for package in packages]


def is_logged(model_id: str) -> bool:
    """Whether the model's entry has its files."""
    import mlflow

    return str(mlflow.get_logged_model(model_id).status) == "READY"
