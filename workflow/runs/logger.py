"""What is logged to a run, each at once or not at all; logged again, nothing is there twice."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec

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

    A signal that comes meanwhile is raised at its end.
    """

    @wraps(write)
    def unless_lost(log: "RunLogger", /, *data: Arguments.args, **named: Arguments.kwargs) -> None:
        if log.lost:
            return
        with signals.deferred():
            with store.tolerating_errors(log.consequence):
                write(log, *data, **named)
                return
            log.lost = True

    return unless_lost


@dataclass
class RunLogger:
    """Logs to one run until the store fails; says so once, and does nothing from then on."""

    run: Run
    begun: int  # milliseconds since 1970
    consequence: str = UNLOGGED  # of a store that fails: what becomes of the rest
    lost: bool = False  # whether it has failed

    @guarded
    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        _client().log_batch(self.run.run_id, tags=[RunTag(*tag) for tag in values.items()])

    @guarded
    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """Log an epoch's metrics at its step, at once, so that a training can be watched.

        An epoch that is trained again, since its checkpoint was damaged, was logged already.
        """
        import mlflow

        points = _client().get_metric_history(self.run.run_id, next(iter(row)))
        if number not in {point.step for point in points}:
            model_id = self.run.model_id or None
            mlflow.log_metrics(dict(row), step=number, run_id=self.run.run_id, model_id=model_id)

    def history(self, table: pd.DataFrame) -> None:
        """Log what is missing of a history, see `sentiment.network.progress.TrainingResult`."""
        ended = self.begun + (1000 * table["seconds"].cumsum()).astype(int)
        self.curves(table.set_index("epoch"), ended.tolist())

    @guarded
    def curves(self, table: pd.DataFrame, moments: Sequence[int]) -> None:
        """Log the points that the run or its model lacks: one for each metric and step.

        A point that the run has already keeps its time and its value: an epoch that was trained
        again took other seconds. The table has a column for each metric and a row for each step,
        which is the index; `moments` are when each step was, in milliseconds since 1970.
        """
        from mlflow.entities import Metric

        client, run_id, model_id = _client(), self.run.run_id, self.run.model_id or None
        model = client.get_logged_model(model_id) if model_id else None
        linked = {(metric.key, metric.step) for metric in (model.metrics if model else None) or []}
        points = []
        for name in table.columns:
            logged = client.get_metric_history(run_id, name)
            by_step = {point.step: (point.value, point.timestamp) for point in logged}
            points += [
                Metric(name, *by_step.get(step, (float(value), int(moment))), int(step), model_id)
                for step, value, moment in zip(table.index, table[name], moments, strict=True)
                if step not in by_step or (model and (name, step) not in linked)
            ]
        client.log_batch(run_id, points)

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
    def dataset(
        self,
        name: str,
        context: str,
        arrays: tuple[NDArray[Any], NDArray[Any]] | None,
        source: Path | str,
        digest: str,
    ) -> None:
        """Record that the run uses a data set, once; `arrays` are its token ids and labels."""
        from mlflow.data.dataset_source_registry import get_dataset_source_from_json
        from mlflow.data.numpy_dataset import from_numpy
        from mlflow.entities import Dataset, DatasetInput, InputTag

        place = json.dumps({"uri": str(source)})
        described = Dataset(name, digest, "local", place)
        if arrays:
            x, y = arrays
            origin = get_dataset_source_from_json(place, "local")
            dataset = from_numpy(x, targets=y, source=origin, name=name, digest=digest)
            described = Dataset(**dataset.to_dict())
        used = DatasetInput(described, [InputTag("mlflow.data.context", context)])
        _client().log_inputs(self.run.run_id, [used])

    def folder(self, folder: Path, place: str, names: Sequence[str]) -> None:
        """Log files of a folder to a place in the run; UserError if one was changed."""
        for name in set(names) - {files.ABOUT}:
            files.checked(folder / name)
        guarded(lambda log: upload(log.run, folder, names, place))(self)

    @guarded
    def diff(self, text: str) -> None:
        if text:
            _client().log_text(self.run.run_id, f"{text}\n", DIFF)

    @guarded
    def keras_model(self, model: "keras.Model", epochs: int) -> None:
        """Log the Keras model with an input example, its signature by that, and its packages.

        The run must be the active one. `epochs` is the step at which its curves end: MLflow links
        the run's points at that step to the model, and fails over the test's metrics, which have
        step 0.
        """
        import mlflow

        if is_logged(self.run.model_id):
            return
        with redirect_stdout(StringIO()):  # MLflow tries the example, and Keras shows a bar
            mlflow.tensorflow.log_model(
                model,
                name=MODEL,
                model_id=self.run.model_id,
                step=epochs,
                input_example=np.zeros((1, model.input_shape[1]), np.int32),  # reviews stay here
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


def serving_requirements(packages: Sequence[str] = SERVING_PACKAGES) -> list[str]:
    """The packages that serve a model; MLflow's own inference of them takes a quarter minute."""
    return [f"{package}=={version(package)}" for package in packages]


def is_logged(model_id: str) -> bool:
    """Whether the model's entry has its files."""
    import mlflow

    return str(mlflow.get_logged_model(model_id).status) == "READY"


def has_all(tags: Mapping[str, str], folder: Path) -> bool:
    """Whether a run, by its tags, has all of a stage's folder as that is now."""
    about = folder / files.ABOUT
    return about.exists() and tags.get(COMPLETE.format(folder.name)) == files.sha256(about)
