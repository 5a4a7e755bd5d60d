"""The served model, put together as one MLflow model: code and files, without pickle."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stages import files, tracking

if TYPE_CHECKING:
    import mlflow

# the modules that travel with the model
CODE = (
    "__init__",
    "backend",
    "machine",
    "predictor",
    "scoring_server",
    "sentiment",
    "sequences",
    "text",
)
SERVED = Path(__file__).with_name("served.py")
NAME = "sentiment"  # the logged model's name in the run
EXAMPLES = ["A fine film.", "Dull, and far too long."]


class Parts(NamedTuple):
    """What the served model is made from.

    Attributes:
        model: the Keras model's file.
        words: the word index's file.
        settings: what `stages.sentiment` reads as `settings.json`, but for the files' digests.
    """

    model: Path
    words: Path
    settings: dict[str, Any]


def digest(parts: Parts) -> str:
    """One SHA-256 of all that the served model answers by: files, settings, code."""
    code = [files.sha256(SERVED.with_name(f"{name}.py")) for name in CODE]
    known = [files.sha256(parts.model), files.sha256(parts.words), parts.settings, code]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def log_model(client: "mlflow.MlflowClient", run: tracking.Run, parts: Parts) -> str:
    """Log the served model, with its code and files, as a model of the run; return its id."""
    import mlflow
    from mlflow.entities import LoggedModelOutput

    from stages.scoring_server import COLUMN

    model = mlflow.initialize_logged_model(
        NAME, source_run_id=run.run_id, experiment_id=run.experiment_id
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        mlflow.pyfunc.log_model(
            name=NAME,
            model_id=model.model_id,
            python_model=str(SERVED),
            code_paths=[str(_copy_code(folder / SERVED.parent.name))],
            artifacts=write_artifacts(folder, parts),
            signature=_signature(),
            input_example=pd.DataFrame({COLUMN: EXAMPLES}),
            pip_requirements=tracking.serving_requirements(),
        )
    client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _copy_code(package: Path) -> Path:
    package.mkdir()
    for name in CODE:
        shutil.copy2(SERVED.with_name(f"{name}.py"), package)
    return package


def write_artifacts(folder: Path, parts: Parts) -> dict[str, str]:
    """Paths of the served model's files by their names."""
    from stages import sentiment

    paths = {sentiment.MODEL: parts.model, sentiment.INDEX: parts.words}
    digests = {name: files.sha256(path) for name, path in paths.items()}
    settings = folder / sentiment.SETTINGS
    files.write_json(settings, {**parts.settings, "files": digests})
    return {name: str(path) for name, path in {**paths, settings.name: settings}.items()}


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from stages.scoring_server import COLUMN

    inputs = Schema([ColSpec("string", COLUMN)])
    outputs = Schema([ColSpec("string", "label"), ColSpec("float", "probability")])
    return ModelSignature(inputs, outputs)
