"""The registered model of a dataset has a name, versions and perhaps a champion."""

import pytest
from mlflow import MlflowClient

from sentiment.errors import UserError
from sentiment.tracking import registry

pytestmark = pytest.mark.slow
NAME = "imdb-sentiment"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("imdb", "imdb-sentiment"),
        ("reviews.csv", "reviews-sentiment"),
        ("reviews.jsonl.gz", "reviews-sentiment"),
        ("my reviews.csv", "my-reviews-sentiment"),
        ("imdb.csv", "imdb-table-sentiment"),
        ("<x>.csv", "x-sentiment"),
    ],
)
def test_each_dataset_has_a_registered_model_of_its_own(dataset: str, name: str) -> None:
    assert registry.registered_name(dataset) == name


def register(client: MlflowClient, name: str) -> str:
    """Make a version of a run without files, and return the run's id."""
    run = client.create_run("1")
    model = client.create_logged_model("1", "sentiment", run.info.run_id)
    source = f"models:/{model.model_id}"
    client.create_model_version(name, source, run.info.run_id, model_id=model.model_id)
    return str(run.info.run_id)


def test_a_version_is_found_by_the_registered_name_and_the_run(empty_store: MlflowClient) -> None:
    for name in (NAME, "mine"):
        empty_store.create_registered_model(name)
    run_id = register(empty_store, "mine")
    assert registry.find_version(empty_store, NAME, run_id) is None
    run_id = register(empty_store, NAME)
    version = registry.find_version(empty_store, NAME, run_id)
    assert version is not None
    assert (version.name, version.run_id) == (NAME, run_id)


def test_a_dataset_without_a_champion_says_how_there_is_one(empty_store: MlflowClient) -> None:
    assert registry.find_champion(empty_store, NAME) is None
    with pytest.raises(UserError, match=r"no champion of imdb-sentiment\. `sentiment promote`"):
        registry.resolve_version(empty_store, None, "imdb")


def test_a_version_is_named_by_its_number_or_its_alias(empty_store: MlflowClient) -> None:
    empty_store.create_registered_model(NAME)
    run_id = register(empty_store, NAME)
    empty_store.set_registered_model_alias(NAME, "champion", "1")
    for uri in (None, f"models:/{NAME}/1", f"models:/{NAME}@champion"):
        version = registry.resolve_version(empty_store, uri, "imdb")
        assert version.run_id == run_id
        assert registry.version_uri(version) == f"models:/{NAME}/1"


@pytest.mark.parametrize("uri", [f"models:/{NAME}/1", f"models:/{NAME}@best", "models:/other/1"])
def test_a_version_that_does_not_exist_is_one_message(empty_store: MlflowClient, uri: str) -> None:
    with pytest.raises(UserError, match=f"^There is no version {uri}: "):
        registry.resolve_version(empty_store, uri, "imdb")


@pytest.mark.parametrize("uri", ["champion", "models:/imdb-sentiment", "runs:/0123/model"])
def test_what_is_no_uri_of_a_version_is_refused(empty_store: MlflowClient, uri: str) -> None:
    with pytest.raises(UserError, match=f"^{uri} is not a model version"):
        registry.resolve_version(empty_store, uri, "imdb")
