"""The champion as it is served, for the commands that ask it."""

from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from sentiment.registry import versions as registry
from sentiment.runs import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.serving.classifier import Sentiment, Step

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


def uri(chosen: str | None = None) -> str:
    """Which model to ask.

    Args:
        chosen: a model as MLflow names it; None: the champion.

    Raises:
        UserError: there is no such model or no champion, or the store cannot be used.
    """
    if chosen:
        store.connect()
        _require_model(chosen)
        return chosen
    current()
    return URI


def _require_model(model_uri: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.models.get_model_info(model_uri)
    except (MlflowException, OSError, ValueError) as error:
        raise UserError(
            f"There is no model {model_uri} (option --model, variable MODEL): {first_line(error)}"
        ) from None


def load(model_uri: str) -> "Sentiment":
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


def trace(model: "Sentiment", text: str) -> "list[Step]":
    """Watch a model read a text.

    Raises:
        UserError: its version is older than this, and brought code that cannot.
    """
    if not hasattr(model, "trace"):
        raise UserError(
            "This version was registered before models could be watched: train again, or promote a "
            "newer one."
        )
    return model.trace(text)
