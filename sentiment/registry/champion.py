"""The champion as it is served, for the commands that ask it."""

import os
from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from sentiment.registry import versions as registry
from sentiment.runs import store
from sentiment.serving.classifier import Sentiment

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

URI = f"models:/{registry.NAME}@{registry.CHAMPION}"


def current() -> "ModelVersion":
    """The version that is champion.

    Raises:
        UserError: there is none, or the store cannot be used.
    """
    import mlflow

    store.connect()
    with store.explained():
        found = registry.champion(mlflow.MlflowClient())
    if found is None:
        raise UserError(
            f"There is no champion of {registry.NAME} yet. `make repro` on IMDB makes one; "
            "`make promote RUN=<run id>` makes any evaluated run champion."
        )
    return found


def uri() -> str:
    """Which model to ask: `MODEL`, as MLflow names one, or the champion.

    Raises:
        UserError: neither is there, or the store cannot be used.
    """
    chosen = os.environ.get("MODEL")
    if chosen:
        store.connect()
        return chosen
    current()
    return URI


def load(model_uri: str) -> Sentiment:
    """Load a version of the registered model, with the code that it brought.

    Raises:
        UserError: there is no such model, or it is another kind of model.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        loaded = mlflow.pyfunc.load_model(model_uri)
    except (MlflowException, OSError, ValueError, ImportError) as error:
        raise UserError(f"{model_uri} cannot be loaded: {first_line(error)}") from None
    try:
        model: Sentiment = loaded.unwrap_python_model()
    except MlflowException:
        raise UserError(
            f"{model_uri} does not take raw text: name a version of {registry.NAME}."
        ) from None
    return model
