"""The champion as it is served, for the commands that ask it."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stages import registry, sentiment, store
from stages.command import UserError, first_line

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SWAPPING = threading.Lock()
URI = f"models:/{registry.NAME}@{registry.CHAMPION}"


def reigning() -> "ModelVersion":
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
    reigning()
    return URI


def load(model_uri: str) -> sentiment.Sentiment:
    """Load a model that was registered by `stages.registry`, with the code that travels with it.

    Raises:
        UserError: there is no such model, or it is another kind of model.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as scratch:
            path = mlflow.artifacts.download_artifacts(model_uri, dst_path=scratch)
            with its_own_code(Path(path) / "code"):
                loaded = mlflow.pyfunc.load_model(path)
    except (MlflowException, OSError, ValueError, ImportError) as error:
        raise UserError(f"{model_uri} cannot be loaded: {first_line(error)}") from None
    try:
        model: sentiment.Sentiment = loaded.unwrap_python_model()
    except MlflowException:
        raise UserError(
            f"{model_uri} does not take raw text: name a version of {registry.NAME}."
        ) from None
    return model


@contextmanager
def its_own_code(code: Path) -> Iterator[None]:
    """Let what is loaded within import `stages` as it is in `code`, where that differs from here.

    Python has the modules of this workspace at hand already, and MLflow would take those.
    """
    package = Path(sentiment.__file__).parent
    path = sys.path
    with SWAPPING:
        if all(same(file, package / file.name) for file in code.glob(f"{package.name}/*.py")):
            ours = {}
        else:
            ours = take_away(package.name)
        try:
            yield
        finally:
            sys.path = path
            if ours:
                take_away(package.name)
            sys.modules.update(ours)


def take_away(package: str) -> dict[str, ModuleType]:
    """Let Python forget a package and its modules; return them."""
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}


def same(a: Path, b: Path) -> bool:
    """Whether two files are there and the same."""
    return a.exists() and b.exists() and a.read_bytes() == b.read_bytes()
