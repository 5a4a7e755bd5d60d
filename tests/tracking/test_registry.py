"""The registered model of a dataset: its name, its versions and those of a run."""

import mlflow
import pytest

from sentiment.tracking import registry
from tests.evaluations import NAME, evaluation, register

pytestmark = pytest.mark.slow


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


@pytest.mark.usefixtures("empty_store")
def test_a_registered_model_says_what_it_is_for_and_which_version_to_use() -> None:
    register(evaluation(400))
    description = mlflow.MlflowClient().get_registered_model(NAME).description
    assert description is not None
    assert "texts of `imdb`" in description
    assert "alias `champion`" in description


@pytest.mark.usefixtures("empty_store")
def test_a_version_has_its_card_and_tags_of_accuracy_and_dataset() -> None:
    version = register(evaluation(400))
    assert version.description == "the card"
    assert version.tags == {"test_accuracy": "0.6667", "dataset": "imdb"}


@pytest.mark.usefixtures("empty_store")
def test_versions_that_a_person_registered_of_a_run_are_left_alone() -> None:
    version = register(evaluation(400))
    client = mlflow.MlflowClient()
    client.create_registered_model("mine")
    for name in ("mine", NAME):
        client.create_model_version(name, str(version.source), str(version.run_id))
    found = registry.find_version(str(version.run_id))
    assert found is not None
    assert (found.name, found.version) == (NAME, version.version)


@pytest.mark.usefixtures("empty_store")
def test_a_run_that_does_not_exist_has_no_version() -> None:
    assert registry.find_version("0" * 32) is None


@pytest.mark.usefixtures("empty_store")
def test_a_dataset_without_versions_has_no_champion() -> None:
    assert registry.find_champion(NAME) is None
    assert registry.find_champion("other-sentiment") is None
