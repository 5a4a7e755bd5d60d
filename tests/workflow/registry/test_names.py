"""Each data set has a registered model of its own, unless two share one from before."""

import mlflow
import pytest

from sentiment.errors import UserError
from workflow.registry import names


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("imdb", "imdb-sentiment"),
        ("synthetic", "synthetic-sentiment"),
        ("reviews.csv", "reviews-sentiment"),
        ("reviews.2024.jsonl.gz", "reviews-2024-sentiment"),
        ("Kritiken für Bücher.TSV", "Kritiken-für-Bücher-sentiment"),
        ("imdb.csv", "imdb-table-sentiment"),
        ("?!.parquet", "table-sentiment"),
    ],
)
def test_each_data_set_has_a_registered_model(dataset: str, name: str) -> None:
    assert names.model_name(dataset) == name


@pytest.mark.usefixtures("root_with_store")
@pytest.mark.parametrize(
    ("first", "second"),
    [("reviews.csv", "reviews.jsonl"), ("reviews.v2.csv", "reviews-v2.parquet")],
)
def test_a_name_that_another_file_has_is_refused_unless_both_have_it(
    first: str, second: str
) -> None:
    name = names.own_name(first)
    client = mlflow.MlflowClient()
    client.create_registered_model(name)
    client.create_model_version(name, "file:///old")  # older versions do not name their data
    assert names.own_name(second) == name
    client.delete_model_version(name, "1")
    client.create_model_version(name, "file:///first", tags={"dataset": first})
    assert names.own_name(first) == name
    with pytest.raises(UserError, match=f"{name} is .* of {first}, .* other-{second}"):
        names.own_name(second)
    client.create_model_version(name, "file:///second", tags={"dataset": second})
    assert names.own_name(first) == names.own_name(second) == name
