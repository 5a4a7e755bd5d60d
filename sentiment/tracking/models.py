"""Log the model of a run: it predicts raw texts, with the few packages that it needs."""

import re
import shutil
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import sentiment
from sentiment.backend import load_keras
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_model_config
from sentiment.text.model_files import MODEL_FILES, THRESHOLD
from sentiment.text.tokenizer import UNICODE
from sentiment.tracking import runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature


MODEL = "sentiment"  # the name of the logged model
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to predict
EXAMPLE_TEXTS = ["A fine film.", "Dull, and far too long."]
CARRIED_CODE = ("__init__.py", "backend.py", "text", "prediction")  # of the package `sentiment`
# The file that MLflow runs to load the model
MODEL_SCRIPT = """\
import mlflow

from {package}.prediction.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""


def find_model(client: "MlflowClient", run: "Run") -> "LoggedModel | None":
    """Return the model that a run has, or None. A killed process may leave one that is not ready.

    People may log other models to a run, under other names.
    """
    from mlflow.entities import LoggedModelStatus

    logged = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    ready = [
        model for model in logged if model.name == MODEL and model.status == LoggedModelStatus.READY
    ]
    return ready[0] if ready else None


def log_model(project: Project, run_id: str, threshold: float) -> None:
    """Log the model in `data/train` to a run.

    Its copy of the code is a package that has the run's id in its name. One process can therefore
    load several models, and the project's own modules.

    Args:
        threshold: the positive label of two is predicted if its probability is above it.
    """
    import mlflow

    from sentiment.prediction.pyfunc_model import TEXT_COLUMN

    load_keras()  # otherwise MLflow imports TensorFlow, which prints messages
    package = f"served_{run_id}"
    config = read_model_config(project)
    extra_packages = ["regex"] if config.tokenizer == UNICODE else []
    with tempfile.TemporaryDirectory() as scratch_path:
        scratch = Path(scratch_path)
        code = copy_code(scratch / package)
        entry = scratch / "served.py"
        entry.write_text(MODEL_SCRIPT.format(package=package), encoding="utf-8")
        constraints = scratch / "constraints.txt"
        lock = (project.folder / "requirements.txt").read_text(encoding="utf-8")
        constraints.write_text("\n".join(installed_versions(lock)), encoding="utf-8")
        sys.path.insert(0, scratch_path)  # MLflow runs the entry while it saves it
        try:
            # `log_model` takes no id of a run: it logs to the active one. It also predicts the
            # example, for which Keras prints progress bars.
            with runs.active_run(run_id), redirect_stdout(StringIO()):
                mlflow.pyfunc.log_model(
                    name=MODEL,
                    python_model=str(entry),
                    code_paths=[str(code)],
                    artifacts={name: str(project.trained / name) for name in MODEL_FILES},
                    model_config={THRESHOLD: threshold},
                    signature=model_signature(),
                    input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLE_TEXTS}),
                    pip_requirements=serving_requirements(constraints, *extra_packages),
                )
        finally:
            sys.path.remove(scratch_path)


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


def model_signature() -> "ModelSignature":
    """Return the columns that the model takes and returns."""
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


def serving_requirements(constraints: Path, *extra_packages: str) -> list[str]:
    """Return the packages that predict, and the file with the versions of all others.

    MLflow takes 14 s to infer the packages.
    """
    packages = sorted([*SERVING_PACKAGES, *extra_packages])
    return [*packages, f"-c {constraints}"]


def installed_versions(lock: str) -> list[str]:
    """Return a constraint for each package that a lock names and that is installed.

    On Linux x86-64, TensorFlow is the package `tensorflow-cpu`. `tensorflow` installs the same code
    on every platform.

    Args:
        lock: the text of a requirements file, whose versions and hashes are ignored.
    """
    versions = {}
    for name in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE):
        with suppress(metadata.PackageNotFoundError):  # of another platform
            versions[name.replace("tensorflow-cpu", "tensorflow")] = metadata.version(name)
    return [f"{name}=={version}" for name, version in sorted(versions.items())]
