"""The champion as it is served, for the commands that ask it."""

import re
from typing import TYPE_CHECKING

from sentiment.errors import UserError, first_line
from workflow.params import load_params
from workflow.registry import versions as registry
from workflow.registry.names import own_name
from workflow.runs import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.serving.classifier import Sentiment


VERSION = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<number>\d+)|@(?P<alias>.+))")


def registered() -> str:
    """The registered model of the data set that params.yaml names.

    Raises:
        UserError: as `load_params` and `own_name`.
    """
    return own_name(load_params().fetch.name)


def current() -> "ModelVersion":
    """The version that is champion.

    Raises:
        UserError: there is none, or the store cannot be used.
    """
    import mlflow

    name = registered()
    with store.as_user_error():
        found = registry.champion(mlflow.MlflowClient(), name)
    if found is None:
        raise UserError(
            f"There is no champion of {name} yet, the model of the data set that params.yaml "
            "names. `make repro` makes one; `make promote RUN=<run id>` makes any evaluated run "
            "champion."
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
    return f"models:/{current().name}@{registry.CHAMPION}"


def version(chosen: str | None = None) -> "ModelVersion":
    """Which version of a registered model to ask.

    Args:
        chosen: as MLflow names it, by number or alias; None: the champion.

    Raises:
        UserError: there is none, or the store cannot be used.
    """
    import mlflow

    if not chosen:
        return current()
    found = VERSION.fullmatch(chosen)
    if not found:
        raise UserError(
            f"{chosen} (option --model, variable MODEL) names no version of a registered model, "
            "such as models:/imdb-sentiment/1."
        )
    uri(chosen)
    client = mlflow.MlflowClient()
    with store.as_user_error():
        if found["alias"]:
            return client.get_model_version_by_alias(found["name"], found["alias"])
        return client.get_model_version(found["name"], found["number"])


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
            f"{model_uri} does not take raw text: name a version of {registered()}."
        ) from None
    return model
