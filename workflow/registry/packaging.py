"""A registered model as MLflow keeps it: code and files, without pickle.

The code that travels with a model imports its own modules relatively. It is copied into a folder
whose name has the package's digest, so that models of different code can be loaded in one process,
next to the project's own modules.
"""

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
from sentiment import tokenizer
from sentiment.errors import UserError, first_line
from workflow import files, tracking
from workflow.tracking import Run

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

SENTIMENT = Path(sentiment.__file__).parent
TRAVELING_CODE = ("__init__.py", "backend.py", "special_tokens.py", "tokenizer.py", "serving/*.py")
MODEL_NAME = "sentiment"  # name of the logged model
EXAMPLES = ["A fine film.", "Dull, and far too long."]
ENTRY = """\
import mlflow

from {package}.serving.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""


class PackagedModel(NamedTuple):
    """A Keras model, by itself or in an ensemble.

    Attributes:
        path: its file.
        config: its `layout` and `batch_size`.
        weight: its weight in the ensemble. All weights add up to one.
    """

    path: Path
    config: dict[str, Any]
    weight: float = 1.0


class ModelPackage(NamedTuple):
    """Everything that a registered model's predictions depend on, apart from the code."""

    models: Sequence[PackagedModel]  # one, or the members of an ensemble
    word_index: Path
    threshold: float  # the probability above which a review is positive
    tokenizer: str = tokenizer.KERAS


def code_files() -> list[Path]:
    """Return the modules that travel with every model."""
    return [path for pattern in TRAVELING_CODE for path in sorted(SENTIMENT.glob(pattern))]


def package_digest(package: ModelPackage) -> str:
    """Return the SHA-256 of everything that the predictions depend on: files, config and code."""
    document = {
        "models": [(files.sha256(path), *rest) for path, *rest in package.models],
        "word_index": files.sha256(package.word_index),
        "threshold": package.threshold,
        "tokenizer": package.tokenizer,
        "code": [(str(path.relative_to(SENTIMENT)), files.sha256(path)) for path in code_files()],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def log_package(run: Run, package: ModelPackage) -> str:
    """Log a model package as a logged model of a run, unless the run has it; return its id."""
    digest = package_digest(package)

    def log(model_id: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            _log_package(package, digest, model_id, Path(scratch))

    return tracking.log_model(run, MODEL_NAME, digest, {}, log)


def _log_package(package: ModelPackage, digest: str, model_id: str, scratch: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from sentiment.serving.pyfunc_model import TEXT_COLUMN

    signature = ModelSignature(
        inputs=Schema([ColSpec("string", TEXT_COLUMN)]),
        outputs=Schema([ColSpec("string", "label"), ColSpec("float", "probability")]),
    )
    requirements = [*tracking.SERVING_PACKAGES]
    if package.tokenizer == tokenizer.UNICODE:
        requirements.append("regex")
    entry, code = write_code(scratch, f"served_{digest[:12]}")
    sys.path.insert(0, str(scratch))  # MLflow runs the entry while it logs it
    try:
        mlflow.pyfunc.log_model(
            name=MODEL_NAME,
            model_id=model_id,
            python_model=str(entry),
            code_paths=[str(code)],
            artifacts=write_artifacts(scratch, package),
            signature=signature,
            input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLES}),
            pip_requirements=tracking.serving_requirements(requirements),
        )
    finally:
        sys.path.remove(str(scratch))


def write_code(folder: Path, package: str) -> tuple[Path, Path]:
    """Write the file that MLflow runs to create a model, and the package that it imports.

    Returns:
        The paths of the file and of the package.
    """
    entry = folder / "served.py"
    entry.write_text(ENTRY.format(package=package), encoding="utf-8")
    for path in code_files():
        copy = folder / package / path.relative_to(SENTIMENT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return entry, folder / package


def write_artifacts(folder: Path, package: ModelPackage) -> dict[str, str]:
    """Write a package's config into a folder; return the paths of all its files by name."""
    from sentiment.serving.pyfunc_model import CONFIG_FILE, WORD_INDEX_FILE

    paths = {model.path.name: model.path for model in package.models}
    paths[WORD_INDEX_FILE] = package.word_index
    config = {
        "threshold": package.threshold,
        "tokenizer": package.tokenizer,
        "models": [
            {"file": model.path.name, "weight": model.weight, **model.config}
            for model in package.models
        ],
        "files": {name: files.sha256(path) for name, path in paths.items()},
    }
    paths[CONFIG_FILE] = folder / CONFIG_FILE
    files.write_json(paths[CONFIG_FILE], config)
    return {name: str(path) for name, path in paths.items()}


def load_model(model_uri: str) -> "SentimentModel":
    """Load a registered model with its own code.

    Raises:
        UserError: the model cannot be loaded, or is not one that this project registers.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        loaded = mlflow.pyfunc.load_model(model_uri)
    except Exception as error:  # each kind of artifact store has exceptions of its own
        raise UserError(f"{model_uri} cannot be loaded: {first_line(error)}") from error
    try:
        model: SentimentModel | None = loaded.unwrap_python_model()
    except MlflowException:  # a model of another flavor
        model = None
    if model is None or not hasattr(model, "predict_texts"):
        raise UserError(
            f"{model_uri} does not take raw texts as this project's models do. Name a version of "
            "its registered model, such as models:/imdb-sentiment/1, or, if version 0.x registered "
            "it, train it again with `dvc repro`."
        )
    return model
