"""Load a model that predicts raw texts: of the store, or of `data/train`."""

import tempfile
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sentiment.backend import load_keras
from sentiment.data.labels import list_labels
from sentiment.errors import UserError, first_line
from sentiment.params import FetchParams
from sentiment.project.files.documents import missing_error, read_json
from sentiment.project.files.paths import Project
from sentiment.project.files.records import read_model_config
from sentiment.project.versioning.own_table import read_label_names
from sentiment.text.model_files import WEIGHTS_FILE, WORD_INDEX_FILE
from sentiment.tracking import registry, runs
from sentiment.tracking.models import find_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.prediction.pyfunc_model import SentimentModel


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
