"""Operations on model versions, such as the score of a file: their runs and their options.

Trainings of a dataset are in the experiment of its registered model. Operations are in another one,
so that the table of trainings stays a table of trainings.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

model_option = click.option(
    "--model",
    "model_uri",
    show_default="the champion",
    help="A version such as models:/imdb-sentiment/1.",
)


def connect_operations() -> str:
    """Connect to the experiment of the operations on the dataset in params.yaml; return its id.

    Raises:
        StoreError: the store cannot be used.
    """
    from sentiment.project.params_file import load_params
    from sentiment.tracking import registry, store

    name = registry.registered_name(load_params().fetch.dataset_name)
    return store.connect(
        f"{name} operations",
        f"What was done with versions of `{name}`: scores of files, and sweeps.",
    )


def connect_to_version(model_uri: str | None) -> "ModelVersion":
    """Connect to the store to read it, and return the version that a URI names, or the champion.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no such version.
    """
    from sentiment.project.params_file import load_params
    from sentiment.tracking import store, versions

    store.connect_to_read()
    with store.store_errors():
        return versions.resolve_version(model_uri, load_params().fetch.dataset_name)


@contextmanager
def operation_run(
    version: "ModelVersion", name: str, params: Mapping[str, Any]
) -> "Iterator[mlflow.ActiveRun]":
    """Start a run that uses a version, and end it with the block.

    Raises:
        StoreError: the store cannot be used.
    """
    import mlflow
    from mlflow.entities import LoggedModelInput

    from sentiment.tracking import store, versions

    connect_operations()
    model_id = str(version.source).removeprefix("models:/")
    with store.store_errors(), mlflow.start_run(run_name=name) as run:
        mlflow.log_params({"model": versions.version_uri(version), **params})
        mlflow.log_input(model=LoggedModelInput(model_id))
        yield run
