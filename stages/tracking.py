"""The MLflow run of a training, from its first epoch to the logged model."""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import store

if TYPE_CHECKING:
    import keras
    from mlflow.entities import LoggedModel

MODEL = "model"
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "mlflow")
# The pipeline's own products: they change in every run and say nothing about what shaped it.
PRODUCTS = (":(exclude)dvc.lock", ":(exclude)data")


class Run(NamedTuple):
    """What identifies a run and its model in the store."""

    run_id: str
    name: str
    experiment_id: str
    model_id: str


@contextmanager
def started(name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Run]:
    """Start a run with its params and tags; end it as FINISHED, FAILED or KILLED.

    The model's entry is made before training, so that MLflow links every epoch's figures to it.
    """
    import mlflow

    experiment_id = store.connect()
    with store.explained():
        run = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=dict(tags))
        model = None
        try:
            mlflow.log_params(dict(params))
            as_text = {key: str(value) for key, value in params.items()}
            model = mlflow.initialize_logged_model(MODEL, tags=dict(tags), params=as_text)
            yield Run(run.info.run_id, name, experiment_id, model.model_id)
        except BaseException as error:
            _give_up(model, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        mlflow.end_run()


def _give_up(model: "LoggedModel | None", status: str) -> None:
    """End the run and its model as they are; what the store says now hides no earlier error."""
    import mlflow

    with suppress(Exception):
        if model is not None:
            mlflow.finalize_logged_model(model.model_id, "FAILED")
    with suppress(Exception):
        mlflow.end_run(status)


def log_epoch(run: Run, epoch: int, figures: Mapping[str, float]) -> None:
    """Log one epoch's figures at its step, at once, so that a training can be watched."""
    import mlflow

    mlflow.log_metrics(dict(figures), step=epoch, run_id=run.run_id, model_id=run.model_id)


def tag(key: str, value: str) -> None:
    """Tag the active run with what is known only once it has started."""
    import mlflow

    mlflow.set_tag(key, value)


def log_dataset(
    name: str, context: str, arrays: tuple[NDArray[Any], NDArray[Any]], source: Path, digest: str
) -> None:
    """Record that the active run uses `arrays`, token ids and labels, from `source`."""
    import mlflow

    mlflow.log_input(store.dataset(name, *arrays, source, digest), context=context)


def log_files(folder: Path, names: Iterable[str]) -> None:
    """Log files of a stage's folder to the active run, under the stage's name."""
    import mlflow

    for name in names:
        mlflow.log_artifact(str(folder / name), "train")


def log_model(run: Run, model: "keras.Model", example: NDArray[np.int32]) -> None:
    """Log the Keras model with its signature, an input example and the packages to serve it."""
    import keras
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    keras.utils.disable_interactive_logging()  # MLflow tries the example: no progress bar for that
    mlflow.tensorflow.log_model(
        model,
        name=MODEL,
        model_id=run.model_id,
        signature=ModelSignature(
            Schema([TensorSpec(np.dtype("int32"), (-1, example.shape[1]))]),
            Schema([TensorSpec(np.dtype("float32"), (-1, 1))]),
        ),
        input_example=example,
        # given here because MLflow's own inference of them takes a quarter of a minute
        pip_requirements=[f"{package}=={version(package)}" for package in SERVING_PACKAGES],
    )


def provenance() -> dict[str, str]:
    """Tags that lead from a run back to its code: git commit and DVC experiment."""
    tags = {"git.commit": _git("rev-parse", "HEAD")}
    if tags["git.commit"]:
        changes = _git("status", "--porcelain", "--", ".", *PRODUCTS)
        tags["git.uncommitted_changes"] = changes or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def _git(*arguments: str) -> str:
    """The output of a git command, empty where there is no git or no repository."""
    try:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip(
            "\n"
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
