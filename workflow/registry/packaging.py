"""The served model, put together as one MLflow model: code and files, without pickle."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

import sentiment
from sentiment.errors import UserError, first_line
from sentiment.tokenizer import KERAS, UNICODE
from workflow import files
from workflow.runs import logger

if TYPE_CHECKING:
    import mlflow

    from sentiment.serving.pyfunc_model import SentimentModel

ROOT = Path(sentiment.__file__).parent
# they import each other relatively, and nothing else of the project
CODE = [*(ROOT / name for name in ("__init__.py", "backend.py", "tokenizer.py"))]
CODE += sorted(ROOT.glob("serving/*.py"))
PACKAGE = "served_"  # begins the name of a model's code
NAME = "sentiment"  # the logged model's name in the run
EXAMPLES = ["A fine film.", "Dull, and far too long."]
ENTRY = """\
import mlflow
from {package}.serving.pyfunc_model import SentimentModel
mlflow.models.set_model(SentimentModel())
"""


class Model(NamedTuple):
    """A model, by itself or in an ensemble."""

    path: Path  # of its file
    settings: dict[str, Any]  # a network's `layout` and `batch_size`; a linear model has none
    weight: float = 1.0  # in the ensemble, where those of all add up to one
    classifier: str = "keras_classifier"  # one of `sentiment.serving.pyfunc_model.CLASSIFIERS`


class Parts(NamedTuple):
    """What the served model is made from."""

    models: Sequence[Model]  # one, or those of an ensemble, each file with a name of its own
    words: Path  # the word index's file
    threshold: float  # the probability above which a review is positive
    packages: Sequence[str] = logger.SERVING_PACKAGES  # those that it needs where it is served
    tokenizer: str = KERAS  # how a text is split into words, see `sentiment.tokenizer`
    classifier: str = ""  # of several models


def digest(parts: Parts) -> str:
    """One SHA-256 of all that the served model answers by: files, settings, code."""
    code = [(path.relative_to(ROOT).as_posix(), files.sha256(path)) for path in CODE]
    models = [(files.sha256(path), *how) for path, *how in parts.models]
    answering = [models, files.sha256(parts.words), parts.threshold, parts.tokenizer, code]
    return hashlib.sha256(json.dumps(answering, sort_keys=True).encode()).hexdigest()


def log_model(client: "mlflow.MlflowClient", run: logger.Run, parts: Parts) -> str:
    """Log the served model, with its code and files, as a model of the run; return its id."""
    import mlflow
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from sentiment.serving.pyfunc_model import TEXT_COLUMN

    inputs = Schema([ColSpec("string", TEXT_COLUMN)])
    outputs = Schema([ColSpec("string", "label"), ColSpec("float", "probability")])
    packages = [*parts.packages, *(["regex"] if parts.tokenizer == UNICODE else [])]
    model = mlflow.initialize_logged_model(
        NAME, source_run_id=run.run_id, experiment_id=run.experiment_id
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        entry, code = write_code(folder, f"{PACKAGE}{digest(parts)[:12]}")
        sys.path.insert(0, scratch)  # MLflow runs the entry as it logs it
        try:
            mlflow.pyfunc.log_model(
                name=NAME,
                model_id=model.model_id,
                python_model=str(entry),
                code_paths=[str(code)],
                artifacts=write_artifacts(folder, parts),
                signature=ModelSignature(inputs, outputs),
                input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLES}),
                pip_requirements=logger.serving_requirements(packages),
            )
        finally:
            sys.path.remove(scratch)
    if mlflow.active_run() is None:  # else MLflow linked both
        client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def write_code(folder: Path, package: str) -> tuple[Path, Path]:
    """Write the file that MLflow runs to make the model, and the package that it imports.

    Each model's package has a name of its own, so that models of different code, and this
    workspace's, are loaded side by side.
    """
    entry = folder / "served.py"
    entry.write_text(ENTRY.format(package=package), encoding="utf-8")
    for path in CODE:
        copy = folder / package / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return entry, folder / package


def write_artifacts(folder: Path, parts: Parts) -> dict[str, str]:
    """Paths of the served model's files by their names."""
    from sentiment.serving import pyfunc_model

    paths = {model.path.name: model.path for model in parts.models}
    paths[pyfunc_model.WORD_INDEX_FILE] = parts.words
    members = [
        {
            "classifier": model.classifier,
            "file": model.path.name,
            "weight": model.weight,
            **model.settings,
        }
        for model in parts.models
    ]
    settings = {
        "threshold": parts.threshold,
        "tokenizer": parts.tokenizer,
        "model": {"classifier": parts.classifier, "members": members}
        if parts.classifier
        else members[0],
        "files": {name: files.sha256(path) for name, path in paths.items()},
    }
    paths[pyfunc_model.CONFIG_FILE] = folder / pyfunc_model.CONFIG_FILE
    files.write_json(paths[pyfunc_model.CONFIG_FILE], settings)
    return {name: str(path) for name, path in paths.items()}


def load(model_uri: str) -> "SentimentModel":
    """Load a registered model with the code that it brought; UserError where it takes no text."""
    import mlflow
    from mlflow.exceptions import MlflowException

    imported = {*sys.modules}
    try:
        loaded = mlflow.pyfunc.load_model(model_uri)
    except (MlflowException, OSError, ValueError, ImportError) as error:
        for name in sys.modules.keys() - imported:
            if name.startswith(PACKAGE):  # half of its code, from a folder that may go
                del sys.modules[name]
        raise UserError(f"{model_uri} cannot be loaded: {first_line(error)}") from None
    try:
        model: SentimentModel = loaded.unwrap_python_model()
    except MlflowException:
        raise UserError(
            f"{model_uri} does not take raw text: name a version of a registered model."
        ) from None
    return model
