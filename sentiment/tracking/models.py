"""The two models that a run logs: the Keras model, and the model that predicts raw texts."""

import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sentiment
from sentiment.project import paths
from sentiment.project.documents import write_json
from sentiment.project.manifest import EvaluateManifest
from sentiment.text.tokenizer import UNICODE

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

# Names of the logged models
KERAS_MODEL = "model"
TEXT_MODEL = "sentiment"  # predicts raw texts
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to predict
EXAMPLE_TEXTS = ["A fine film.", "Dull, and far too long."]
CARRIED_CODE = ("__init__.py", "backend.py", "text", "prediction")  # of the package `sentiment`
# The file that MLflow runs to load the text model
MODEL_SCRIPT = """\
import mlflow

from {package}.prediction.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""


def log_models(run: "Run", manifest: EvaluateManifest) -> str:
    """Log both models to the active run, and return the id of the model of raw texts.

    Args:
        run: the active run. It has its params and test metrics, which MLflow shows for its models.
        manifest: what its evaluation depends on.
    """
    delete_models(run)
    with redirect_stdout(StringIO()):  # MLflow tries examples, and Keras prints progress bars
        log_keras_model()
        return log_text_model(run.info.run_id, manifest)


def delete_models(run: "Run") -> None:
    """Delete the models that a process logged to a run before it was killed.

    On a server with users, only some may delete. Then these models stay beside the new ones.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    filter_string = f"source_run_id = '{run.info.run_id}'"
    for model in client.search_logged_models([run.info.experiment_id], filter_string):
        if model.name not in (KERAS_MODEL, TEXT_MODEL):
            continue
        try:
            client.delete_logged_model(model.model_id)
        except MlflowException as error:
            if error.error_code != "PERMISSION_DENIED":
                raise


def log_keras_model() -> None:
    """Log the Keras model in `data/train` to the active run."""
    import mlflow

    from sentiment.prediction.keras_classifier import load_keras_model

    model = load_keras_model(paths.MODEL_FILE)
    mlflow.tensorflow.log_model(
        model,
        name=KERAS_MODEL,
        # An input example would have no meaning without the word index, or would be a review.
        signature=keras_model_signature(model.input_shape[1], model.output_shape[1]),
        pip_requirements=serving_requirements(),
    )


def keras_model_signature(length: int, outputs: int) -> "ModelSignature":
    """Return the arrays that the Keras model takes and returns: token ids and probabilities."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.int32), (-1, length))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, outputs))]),
    )


def log_text_model(run_id: str, manifest: EvaluateManifest) -> str:
    """Log the model of raw texts to the active run, and return its id.

    Its copy of the code is a package that has the run's id in its name, so that one process can
    load several versions beside the project's own modules.
    """
    import mlflow

    from sentiment.prediction.pyfunc_model import (
        CONFIG_ARTIFACT,
        MODEL_ARTIFACT,
        TEXT_COLUMN,
        WORD_INDEX_ARTIFACT,
    )

    package = f"served_{run_id}"
    extra_packages = ["regex"] if manifest.fetch.tokenizer == UNICODE else []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        code = copy_code(scratch / package)
        entry = scratch / "served.py"
        entry.write_text(MODEL_SCRIPT.format(package=package), encoding="utf-8")
        config = scratch / CONFIG_ARTIFACT
        write_config(config, manifest)
        sys.path.insert(0, name)  # MLflow runs the entry while it saves it
        try:
            logged = mlflow.pyfunc.log_model(
                name=TEXT_MODEL,
                python_model=str(entry),
                code_paths=[str(code)],
                artifacts={
                    CONFIG_ARTIFACT: str(config),
                    MODEL_ARTIFACT: str(paths.MODEL_FILE),
                    WORD_INDEX_ARTIFACT: str(paths.WORD_INDEX_FILE),
                },
                signature=text_model_signature(),
                input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLE_TEXTS}),
                pip_requirements=serving_requirements(*extra_packages),
            )
        finally:
            sys.path.remove(name)
    return str(logged.model_id)


def copy_code(folder: Path) -> Path:
    """Copy `CARRIED_CODE`, which predicts without the project, to a new folder, and return it."""
    folder.mkdir()
    package = Path(sentiment.__file__).parent
    for name in CARRIED_CODE:
        source = package / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    return folder


def text_model_signature() -> "ModelSignature":
    """Return the columns that the text model takes and returns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Map

    from sentiment.prediction.pyfunc_model import TEXT_COLUMN

    return ModelSignature(
        inputs=Schema([ColSpec("string", TEXT_COLUMN)]),
        outputs=Schema(
            [
                ColSpec("string", "label"),
                ColSpec("float", "probability"),
                ColSpec(Map("float"), "probabilities"),
            ]
        ),
    )


def write_config(path: Path, manifest: EvaluateManifest) -> None:
    """Write the params that the text model needs."""
    config = {
        "label_names": manifest.label_names,
        "layout": manifest.pad.model_dump(),
        "threshold": manifest.evaluate.threshold,
        "tokenizer": manifest.fetch.tokenizer,
    }
    write_json(path, config)


def serving_requirements(*extra_packages: str) -> list[str]:
    """Return pins of the packages that predict, and of all that they need, as they are installed.

    MLflow takes 14 s to infer the first ones, and leaves the others open.
    """
    pins: dict[tuple[str, str], str] = {}
    waiting = [Requirement(package) for package in (*SERVING_PACKAGES, *extra_packages)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        distribution = installed_distribution(name)
        for extra in requirement.extras or {""}:
            if (name, extra) in pins:
                continue
            pins[name, extra] = f"{name}=={distribution.version}"
            for needed in map(Requirement, distribution.requires or []):
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return sorted(set(pins.values()))


def installed_distribution(name: str) -> metadata.Distribution:
    """Return an installed package. That of TensorFlow is `tensorflow-cpu` on Linux x86-64.

    A pin of `tensorflow` installs the same code on every platform.
    """
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        if name != "tensorflow":
            raise
        return metadata.distribution("tensorflow-cpu")
