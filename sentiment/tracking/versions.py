"""Read a version: find it, load its model, and download its evaluation."""

import re
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple

from sentiment.backend import load_keras
from sentiment.errors import UserError, first_line
from sentiment.project import paths
from sentiment.project.documents import damaged_error, missing_error
from sentiment.project.manifest import ComparedManifest, ManifestT, read_manifest
from sentiment.text.labels import label_names_in, probability_column
from sentiment.tracking import registry, store

if TYPE_CHECKING:
    import pandas as pd  # takes a second, for which `--help` of an extra should not wait
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.prediction.pyfunc_model import SentimentModel

VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<number>\d{1,9})|@(?P<alias>[^/@]+))")


def resolve_version(model_uri: str | None, dataset: str) -> "ModelVersion":
    """Return the version that a URI names, or the champion of a dataset.

    Raises:
        UserError: there is no such version.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not model_uri:
        name = registry.registered_name(dataset)
        champion = registry.find_champion(name)
        if champion is None:
            raise UserError(
                f"There is no champion of {name}. `dvc repro` makes the first version one, "
                "and `sentiment promote RUN` makes any version one."
            )
        return champion
    parts = VERSION_URI.fullmatch(model_uri)
    if parts is None:
        raise UserError(
            f"{model_uri} is not a model version. Use a URI such as models:/imdb-sentiment/1 or "
            "models:/imdb-sentiment@champion."
        )
    client = mlflow.MlflowClient()
    try:
        if parts["alias"]:
            return client.get_model_version_by_alias(parts["name"], parts["alias"])
        return client.get_model_version(parts["name"], parts["number"])
    except MlflowException as error:
        if error.error_code not in (*store.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE"):
            raise
        raise UserError(f"There is no version {model_uri}: {first_line(error)}") from None


def version_uri(version: "ModelVersion") -> str:
    """Return the URI of a version."""
    return f"models:/{version.name}/{version.version}"


def load_model(model_uri: str) -> "SentimentModel":
    """Load a version with its own code.

    Raises:
        UserError: the model cannot be loaded, or is not one that this project registers.
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
            f"{model_uri} cannot be loaded: {first_line(error)}. Name another version, or, if its "
            "files were deleted, log it again: docs/pipeline.md#deleted-artifacts"
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


class Evaluation(NamedTuple, Generic[ManifestT]):
    """An evaluation of a model.

    Attributes:
        manifest: `EvaluateManifest`, or `ComparedManifest` if it is in the store.
        predictions: see `sentiment.evaluation.metrics`.
    """

    manifest: ManifestT
    predictions: "pd.DataFrame"


def download_evaluation(run_id: str) -> Evaluation[ComparedManifest]:
    """Read the evaluation of a run from the store.

    Raises:
        StoreError: the store cannot be used.
        UserError: the run does not exist or has no evaluation, or the evaluation is damaged.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch, store.store_errors():
        try:
            logged = {each.path for each in mlflow.MlflowClient().list_artifacts(run_id)}
        except MlflowException as error:
            if error.error_code not in store.NOT_FOUND_CODES:
                raise
            raise UserError(f"there is no run {run_id}") from None
        for name in (paths.MANIFEST_NAME, paths.PREDICTIONS_FILE.name):
            if name not in logged:
                raise UserError(f"run {run_id} has no {name}")
            mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name, dst_path=scratch)
        try:
            manifest = read_manifest(Path(scratch), ComparedManifest)
            predictions = read_predictions(Path(scratch, paths.PREDICTIONS_FILE.name))
            return Evaluation(manifest, predictions)
        except UserError:
            raise UserError(f"the evaluation of run {run_id} in MLflow is damaged") from None


def read_predictions(path: Path) -> "pd.DataFrame":
    """Read a table of predictions, with probabilities to the bit.

    Raises:
        UserError: the file is missing or damaged.
    """
    import pandas as pd

    try:
        labels = label_names_in(pd.read_csv(path, nrows=0).columns)
        types = {
            **dict.fromkeys(("actual", "predicted"), "str"),
            **{probability_column(label): "float32" for label in labels},
        }
        # Without the last argument, the label `null` would be a missing value.
        return pd.read_csv(path, dtype=types, keep_default_na=False)
    except FileNotFoundError:
        raise missing_error(path) from None
    except ValueError as error:
        raise damaged_error(path, error) from None
