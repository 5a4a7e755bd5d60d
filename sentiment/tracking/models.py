"""The model that a run has in MLflow: it predicts raw texts."""

import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

import sentiment
from sentiment.backend import load_keras
from sentiment.data.labels import list_labels
from sentiment.errors import UserError, first_line
from sentiment.params import FetchParams
from sentiment.project.files.documents import missing_error, read_json
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_model_config
from sentiment.project.versioning.own_table import read_label_names
from sentiment.text.model_files import MODEL_FILES, THRESHOLD, WEIGHTS_FILE, WORD_INDEX_FILE
from sentiment.text.tokenizer import UNICODE
from sentiment.tracking import registry, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

    from sentiment.prediction.pyfunc_model import SentimentModel

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


def load_own_model(project: Project, threshold: float) -> "SentimentModel":
    """Load the model in `data/train`, with the code of the project.

    Raises:
        UserError: a file is missing or damaged.
    """
    from sentiment.prediction.pyfunc_model import SentimentModel

    config = read_model_config(project)
    word_index = read_json(project.trained / WORD_INDEX_FILE)
    weights_file = project.trained / WEIGHTS_FILE
    if not weights_file.exists():
        raise missing_error(weights_file)
    model = SentimentModel()
    model.load(config, word_index, weights_file, threshold)
    return model


class LoadedModel(NamedTuple):
    """A model of the store.

    Attributes:
        title: what messages call it: the URI of a version, or a run.
        run_id: of its training.
        note: the line about the table that a champion was trained on, if it is another one, or "".
    """

    title: str
    run_id: str
    model: "SentimentModel"
    note: str


def load_named(
    project: Project, client: "MlflowClient", name: str | None, fetch: FetchParams
) -> LoadedModel:
    """Load the model of a version or of a run, or the champion of a dataset.

    Args:
        name: the URI of a version, the id of a run or its beginning, `champion` or None.

    Raises:
        UserError: there is no such model, it cannot be loaded, or the champion has other labels
            than the dataset.
    """
    if name is None or name == registry.CHAMPION:
        return load_champion(project, client, fetch)
    if name.startswith("models:"):
        version = registry.named_version(client, name)
        title = registry.version_uri(version)
        return LoadedModel(title, str(version.run_id), load_model(title), "")
    run = runs.find_run(client, name)
    logged = find_model(client, run)
    if logged is None:
        raise UserError(f"Run {run.info.run_id} has no model. Name another run.")
    model = load_model(f"models:/{logged.model_id}")
    return LoadedModel(f"run {run.info.run_id}", str(run.info.run_id), model, "")


def load_champion(project: Project, client: "MlflowClient", fetch: FetchParams) -> LoadedModel:
    """Load the champion of a dataset.

    Raises:
        UserError: there is none, it cannot be loaded, or it has other labels than the dataset.
    """
    version = registry.resolve_version(client, None, fetch.dataset_name)
    title = registry.version_uri(version)
    model = load_model(title)
    note = ""
    if fetch.table_path:
        label_names = read_label_names(project, fetch)
        if label_names is not None:
            check_labels(version, model.label_names, fetch.table_path, label_names)
        note = registry.describe_other_table(version, fetch.table_path)
    return LoadedModel(title, str(version.run_id), model, note)


def training_tables(client: "MlflowClient", loaded: LoadedModel) -> dict[str, str]:
    """Return the MD5 digest of each table that a model was trained on, by its path.

    Returns:
        {} if its run was not trained on a table, has no dvc.lock or is not in the store.
    """
    run = runs.find_run_even_deleted(client, loaded.run_id)
    if run is None or registry.TABLE not in run.data.tags:
        return {}
    read = runs.read_dependencies(client, run, "fetch")
    return {path: digest for path, digest in read.items() if path == run.data.tags[registry.TABLE]}


def check_labels(
    version: "ModelVersion", predicted: Sequence[str], table: str, label_names: Sequence[str]
) -> None:
    """Check that the champion predicts the labels of a table of the same name.

    Args:
        predicted: the labels of the champion.
        table: the path of the table.
        label_names: its labels.

    Raises:
        UserError: it predicts other labels.
    """
    if set(predicted) == set(label_names):
        return
    uri = registry.version_uri(version)
    trained_on = registry.trained_on(version)
    origin = f" It was trained on {trained_on}." if trained_on else ""
    raise UserError(
        f"The champion {uri} predicts {list_labels(predicted)}, but {table} has "
        f"{list_labels(label_names)}.{origin} Promote a model of {table}, or name a version, such "
        f"as --model {uri}"
    )


def load_model(model_uri: str) -> "SentimentModel":
    """Load a model from the store, with its own code.

    Raises:
        UserError: the model cannot be loaded, or is not one that this project logs.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    # MLflow asks TensorFlow for its version, whose import prints messages.
    load_keras()
    # MLflow writes into the folder that it loads from, where the user may only read.
    folder = tempfile.TemporaryDirectory()
    try:
        loaded = mlflow.pyfunc.load_model(model_uri, dst_path=folder.name)
    except Exception as error:  # each kind of artifact store has exceptions of its own
        raise UserError(
            f"{model_uri} cannot be loaded: {first_line(error)}. Name another model, such as "
            "models:/imdb-sentiment@champion."
        ) from error
    try:
        model: SentimentModel | None = loaded.unwrap_python_model()
    except MlflowException:  # a model of another flavor
        model = None
    if model is None or not hasattr(model, "predict_texts"):
        raise UserError(
            f"{model_uri} does not take raw texts as this project's models do. Name a version of "
            "its registered model, such as models:/imdb-sentiment/1."
        )
    weakref.finalize(model, folder.cleanup)
    return model
