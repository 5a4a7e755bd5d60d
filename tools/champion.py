"""The champion as it is served, for the commands that ask it."""

import os

from stages import registry, sentiment, store
from stages.command import UserError

URI = f"models:/{registry.NAME}@{registry.CHAMPION}"


def uri() -> str:
    """Which model to ask: `MODEL`, as MLflow names one, or the champion.

    Raises:
        UserError: there is no champion, or the store cannot be used.
    """
    import mlflow

    store.connect()
    chosen = os.environ.get("MODEL")
    with store.explained():
        if not chosen and registry.champion(mlflow.MlflowClient()) is None:
            raise UserError(
                f"There is no champion of {registry.NAME} yet. `make repro` on IMDB makes one; "
                "`make promote RUN=<run id>` makes any evaluated run champion; "
                f"MODEL=models:/{registry.NAME}/1 asks version 1."
            )
    return chosen or URI


def load(model_uri: str) -> sentiment.Sentiment:
    """Load a model that was registered by `stages.registry`.

    Raises:
        UserError: there is no such model, or it is another kind of model.
    """
    import mlflow

    with store.explained():
        model = mlflow.pyfunc.load_model(model_uri).unwrap_python_model()
    if not hasattr(model, "explain"):
        raise UserError(f"{model_uri} does not take raw text: name a version of {registry.NAME}.")
    loaded: sentiment.Sentiment = model
    return loaded
