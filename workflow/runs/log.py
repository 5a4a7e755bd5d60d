"""What is logged to a run, each at once or not at all; logged again, nothing is there twice."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow import files

if TYPE_CHECKING:
    import keras
    from mlflow.data.numpy_dataset import NumpyDataset

MODEL = "model"
LINEAR_PACKAGES = ("numpy", "pandas", "mlflow")  # what serves a linear model
SERVING_PACKAGES = ("tensorflow", "keras", *LINEAR_PACKAGES)  # what serves a network
COMPLETE = "outputs.{}"  # tag: digest of a folder's about.json, once the run has all of it
BATCH = 1000  # metrics that MLflow takes in one call


class Run(NamedTuple):
    """What identifies a run and its model, if it has one, in the tracking store."""

    run_id: str
    name: str
    experiment_id: str
    model_id: str


def epoch(run: Run, number: int, metrics: Mapping[str, float]) -> None:
    """Log one epoch's metrics at its step, at once, so that a training can be watched.

    An epoch that is trained again, since its checkpoint was damaged, was logged already.
    """
    import mlflow

    there = mlflow.MlflowClient().get_metric_history(run.run_id, next(iter(metrics)))
    if number in {point.step for point in there}:
        return
    mlflow.log_metrics(dict(metrics), step=number, run_id=run.run_id, model_id=run.model_id or None)


def curves(run: Run, values: pd.DataFrame, moments: Sequence[int]) -> None:
    """Log the points that the run or its model lacks: each metric then has one for every step.

    A point that the run has already keeps its time and its value: an epoch that was trained again
    took other seconds.

    Args:
        run: which run.
        values: a column for each metric, a row for each step, which is the index.
        moments: when each step was, in milliseconds since 1970.
    """
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    model = client.get_logged_model(run.model_id) if run.model_id else None
    linked = {(metric.key, metric.step) for metric in (model.metrics if model else None) or []}
    model_id = run.model_id or None
    points = []
    for name in values.columns:
        logged = client.get_metric_history(run.run_id, name)
        there = {point.step: (point.value, point.timestamp) for point in logged}
        points += [
            Metric(name, *there.get(step, (float(value), int(moment))), int(step), model_id)
            for step, value, moment in zip(values.index, values[name], moments, strict=True)
            if step not in there or (model and (name, step) not in linked)
        ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run.run_id, points[start : start + BATCH])


def set_tags(run: Run, values: Mapping[str, str]) -> None:
    """Set tags of the run."""
    import mlflow
    from mlflow.entities import RunTag

    mlflow.MlflowClient().log_batch(run.run_id, tags=[RunTag(*tag) for tag in values.items()])


def params(run: Run, values: Mapping[str, Any]) -> None:
    """Log params of the run."""
    import mlflow
    from mlflow.entities import Param

    known = [Param(name, str(value)) for name, value in values.items()]
    mlflow.MlflowClient().log_batch(run.run_id, params=known)


def used_models(run: Run, model_ids: Sequence[str]) -> None:
    """Record, once, that the run uses these models."""
    import mlflow
    from mlflow.entities import LoggedModelInput

    client = mlflow.MlflowClient()
    inputs = client.get_run(run.run_id).inputs
    there = {used.model_id for used in inputs.model_inputs} if inputs else set()
    new = [LoggedModelInput(model_id) for model_id in model_ids if model_id not in there]
    if new:
        client.log_inputs(run.run_id, models=new)


def dataset(
    run: Run,
    name: str,
    context: str,
    arrays: tuple[NDArray[Any], NDArray[Any]],
    source: Path,
    digest: str,
) -> None:
    """Record, once, that the run uses `arrays`, token ids and labels, from `source`."""
    import mlflow
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client = mlflow.MlflowClient()
    inputs = client.get_run(run.run_id).inputs
    if inputs and digest in {there.dataset.digest for there in inputs.dataset_inputs}:
        return
    described = Dataset(**_described(name, *arrays, source, digest).to_dict())
    client.log_inputs(
        run.run_id, [DatasetInput(described, [InputTag("mlflow.data.context", context)])]
    )


def table(run: Run, name: str, context: str, digest: str) -> None:
    """Record that the run uses a file of labelled texts, by its name."""
    import mlflow
    from mlflow.entities import Dataset, DatasetInput, InputTag

    described = Dataset(name, digest, "local", json.dumps({"uri": name}))
    mlflow.MlflowClient().log_inputs(
        run.run_id, [DatasetInput(described, [InputTag("mlflow.data.context", context)])]
    )


def _described(
    name: str, x: NDArray[Any], y: NDArray[Any], source: Path, digest: str
) -> "NumpyDataset":
    """Describe token ids and labels from the folder `source` as MLflow describes data sets."""
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    origin = get_dataset_source_from_json(json.dumps({"uri": str(source)}), "local")
    return from_numpy(x, targets=y, source=origin, name=name, digest=digest)


def metrics(run: Run, values: Mapping[str, float], dataset: str, digest: str) -> None:
    """Log metrics of the model on a data set, without a step."""
    import mlflow
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(key, value, now, 0, run.model_id or None, dataset, digest)
        for key, value in values.items()
    ]
    mlflow.MlflowClient().log_batch(run.run_id, points)


def complete(run: Run, stage: str, directory: Path) -> None:
    """Tag the run: it has all that a stage wrote into a folder, as that is now."""
    set_tags(run, {COMPLETE.format(stage): files.sha256(directory / files.ABOUT)})


def is_complete(tags: Mapping[str, str], directory: Path) -> bool:
    """Whether a run, by its tags, has all of a stage's folder as that is now."""
    about = directory / files.ABOUT
    return about.exists() and tags.get(COMPLETE.format(directory.name)) == files.sha256(about)


def folder(run: Run, directory: Path, names: list[str], place: str) -> None:
    """Log files of a folder to `place` in the run."""
    import mlflow

    for name in names:
        mlflow.MlflowClient().log_artifact(run.run_id, str(directory / name), place)


def text(run: Run, content: str, place: str) -> None:
    """Log a text as the file `place` in the run."""
    import mlflow

    mlflow.MlflowClient().log_text(run.run_id, content, place)


def keras_model(run: Run, model: "keras.Model", epochs: int) -> None:
    """Log the Keras model with its signature, an input example and the packages to serve it.

    The run must be the active one. `epochs` is the step at which its curves end: MLflow links the
    run's points at that step to the model, and fails over the test's metrics, which have step 0.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    if is_logged(run.model_id):
        return
    example = np.zeros((1, model.input_shape[1]), np.int32)  # no review: those stay where they are
    with _no_progress_bar():  # MLflow tries the example
        mlflow.tensorflow.log_model(
            model,
            name=MODEL,
            model_id=run.model_id,
            step=epochs,
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype("int32"), (-1, example.shape[1]))]),
                Schema([TensorSpec(np.dtype("float32"), (-1, 1))]),
            ),
            input_example=example,
            pip_requirements=serving_requirements(),
        )


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
