"""The two models that a run logs: the Keras model, and the model that predicts raw texts.

A model is logged in steps, each of which can be repeated: it is created, its files are written, and
it becomes ready. So what a killed process began is finished, and lost files come back, in the same
logged model, and its version stays.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from functools import partial
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sentiment import prediction
from sentiment.prediction import tokenizer
from workflow import files
from workflow.files import EvaluateInputs

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, LoggedModel, Run
    from mlflow.models import Model, ModelSignature

# Names of the logged models
KERAS_MODEL = "model"
TEXT_MODEL = "sentiment"  # predicts raw texts
FILES_TAG = "files"  # of a logged model: the size of each file in bytes, by its path, as JSON
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to predict
EXAMPLE_TEXTS = ["A fine film.", "Dull, and far too long."]
# The file that MLflow runs to load the text model
MODEL_SCRIPT = """\
import mlflow

from {package}.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""
Save = Callable[[Path, "Model"], None]  # write a model's files into a folder


def log_models(
    run: "Run", inputs: EvaluateInputs, metrics: Mapping[str, float], check: Callable[[], None]
) -> "LoggedModel":
    """Log the models that a run lacks, and return the model of raw texts.

    Args:
        run: the run.
        inputs: what its evaluation depends on.
        metrics: of the test set. The pages of the models show them.
        check: called when a model's files are copied. It raises an error if they may be those of
            another training.
    """

    def save_text(folder: Path, mlflow_model: "Model") -> None:
        save_text_model(folder, mlflow_model, inputs)

    ensure_model = partial(_ensure_model, run, inputs, metrics, check)
    ensure_model(KERAS_MODEL, save_keras_model)
    return ensure_model(TEXT_MODEL, save_text)


def _ensure_model(
    run: "Run",
    inputs: EvaluateInputs,
    metrics: Mapping[str, float],
    check: Callable[[], None],
    name: str,
    save: Save,
) -> "LoggedModel":
    """Return a run's logged model of this name. It is logged unless it is ready and whole."""
    import mlflow
    from mlflow.entities import LoggedModelStatus, Metric
    from mlflow.models import Model

    client = mlflow.MlflowClient()
    own = [model for model in logged_models(run) if model.name == name]
    model = own[0] if own else None
    if model is not None and is_whole(model):
        return model
    if model is None:
        model = client.create_logged_model(
            run.info.experiment_id, name, run.info.run_id, params=inputs.run_params()
        )
    link_to_run(run, model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        location = str(model.artifact_location)
        save(folder, Model(location, run.info.run_id, model_id=model.model_id))
        check()
        upload_files(model, folder)
    start = run.info.start_time
    points = [
        Metric(key, value, start, 0, model_id=model.model_id) for key, value in metrics.items()
    ]
    client.log_batch(run.info.run_id, points)
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def link_to_run(run: "Run", model: "LoggedModel") -> None:
    """Make a logged model an output of a run, once."""
    import mlflow
    from mlflow.entities import LoggedModelOutput

    client = mlflow.MlflowClient()
    outputs = client.get_run(run.info.run_id).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    if model.model_id not in linked:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])


def upload_files(model: "LoggedModel", folder: Path) -> None:
    """Upload the files in a folder to a logged model, which gets their sizes as a tag first."""
    import mlflow

    client = mlflow.MlflowClient()
    for cache in folder.rglob("__pycache__"):  # from MLflow's attempt to load the model
        shutil.rmtree(cache)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    client.set_logged_model_tags(model.model_id, {FILES_TAG: json.dumps(sizes)})
    client.log_model_artifacts(model.model_id, str(folder))


def logged_models(run: "Run") -> "list[LoggedModel]":
    """Return the logged models of a run."""
    import mlflow

    filter_string = f"source_run_id = '{run.info.run_id}'"
    found = mlflow.MlflowClient().search_logged_models([run.info.experiment_id], filter_string)
    return list(found)


def is_whole(model: "LoggedModel") -> bool:
    """Return whether a logged model is ready, and has all its files with their sizes.

    It may have more: MLflow adds one when it loads a local version.
    """
    if model.status != "READY":
        return False
    sizes = {artifact.path: artifact.file_size for artifact in _artifacts(str(model.model_id))}
    return bool(json.loads(model.tags.get(FILES_TAG, "{}")).items() <= sizes.items())


def _artifacts(model_id: str, path: str | None = None) -> "Iterator[FileInfo]":
    """Yield the files of a logged model, in all folders."""
    import mlflow

    for artifact in mlflow.MlflowClient().list_logged_model_artifacts(model_id, path):
        if artifact.is_dir:
            yield from _artifacts(model_id, artifact.path)
        else:
            yield artifact


def save_keras_model(folder: Path, mlflow_model: "Model") -> None:
    """Write the Keras model in `data/train` as an MLflow model."""
    import mlflow
    import numpy as np

    from sentiment.prediction.keras_classifier import load_keras_model

    model = load_keras_model(files.MODEL_FILE)
    with redirect_stdout(StringIO()):  # MLflow tries the example, and Keras prints a progress bar
        mlflow.tensorflow.save_model(
            model,
            str(folder),
            mlflow_model=mlflow_model,
            input_example=np.zeros((1, model.input_shape[1]), np.int32),  # no review leaves data/
            pip_requirements=serving_requirements(),
        )


def save_text_model(folder: Path, mlflow_model: "Model", inputs: EvaluateInputs) -> None:
    """Write the model of raw texts as an MLflow model.

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

    package = f"served_{mlflow_model.run_id}"
    extra_packages = ["regex"] if inputs.fetch.tokenizer == tokenizer.UNICODE else []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        code = scratch / package
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(prediction.__file__).parent, code, ignore=ignored)
        entry = scratch / "served.py"
        entry.write_text(MODEL_SCRIPT.format(package=package), encoding="utf-8")
        config = scratch / CONFIG_ARTIFACT
        write_config(config, inputs)
        sys.path.insert(0, name)  # MLflow runs the entry while it saves it
        try:
            mlflow.pyfunc.save_model(
                str(folder),
                mlflow_model=mlflow_model,
                python_model=str(entry),
                code_paths=[str(code)],
                artifacts={
                    CONFIG_ARTIFACT: str(config),
                    MODEL_ARTIFACT: str(files.MODEL_FILE),
                    WORD_INDEX_ARTIFACT: str(files.WORD_INDEX_FILE),
                },
                signature=text_model_signature(),
                input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLE_TEXTS}),
                pip_requirements=serving_requirements(*extra_packages),
            )
        finally:
            sys.path.remove(name)


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


def write_config(path: Path, inputs: EvaluateInputs) -> None:
    """Write the params that the text model needs."""
    config = {
        "labels": inputs.labels,
        "layout": inputs.pad.model_dump(),
        "threshold": inputs.evaluate.threshold,
        "tokenizer": inputs.fetch.tokenizer,
    }
    files.write_json(path, config)


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
