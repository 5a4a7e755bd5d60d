"""The params and digests that a dataset depends on."""

import pytest
from pydantic import ValidationError

from sentiment.data.params import TableParams, describe_dataset
from sentiment.section import flatten
from workflow.params import Params


def test_dataset_with_added_texts_has_their_name_and_params(default_params: Params) -> None:
    table = default_params.fetch.table.model_copy(update={"tokenizer": "unicode"})
    update = {"added_texts": "s3://bucket/labeled.csv", "table": table}
    params = default_params.fetch.model_copy(update=update)
    dataset = describe_dataset(params, added_texts_sha256="added", own_sha256="own")
    assert dataset.name == params.name == "imdb+labeled.csv"
    assert dataset.tokenizer == "keras"  # the one of IMDB, whatever tables are tokenized by
    values = flatten(dataset, "fetch")
    digests = {
        "fetch.added_texts": "labeled.csv",
        "fetch.added_texts_sha256": "added",
        "fetch.own_sha256": "own",
    }
    assert digests.items() <= values.items()
    names = ("test_share", "split_seed", "text", "label", "positive", "max_characters")
    assert {name for name in values if name.startswith("fetch.table.")} == {
        f"fetch.table.{name}" for name in names
    }


def test_table_depends_on_its_files_by_name_and_digest(default_params: Params) -> None:
    table = default_params.fetch.table.model_copy(update={"train": "https://x.org/a/train.csv"})
    update = {"dataset": "table", "added_texts": "texts/labeled/", "table": table}
    params = default_params.fetch.model_copy(update=update)
    dataset = describe_dataset(params, train_sha256="a", test_sha256="b")
    assert dataset.name == "train.csv+labeled"
    assert dataset.tokenizer == table.tokenizer
    values = flatten(dataset, "fetch")
    assert values["fetch.table.train"] == "train.csv"
    assert values["fetch.table.train_sha256"] == "a"
    assert values["fetch.table.test_sha256"] == "b"
    assert "fetch.table.group" not in values  # None does not matter


def test_imdb_depends_on_no_other_param(default_params: Params) -> None:
    values = flatten(describe_dataset(default_params.fetch), "fetch")
    assert values == {"fetch.dataset": "imdb"}


def test_synthetic_dataset_depends_on_all_params_of_its_generator(default_params: Params) -> None:
    params = default_params.fetch.model_copy(update={"dataset": "synthetic"})
    dataset = describe_dataset(params)
    assert dataset.name == "synthetic"
    expected = {"fetch.dataset": "synthetic", **flatten(params.synthetic, "fetch.synthetic")}
    assert flatten(dataset, "fetch") == expected


def test_column_of_groups_has_a_name_or_is_none(default_params: Params) -> None:
    values = default_params.fetch.table.model_dump()
    assert TableParams.model_validate(values | {"group": None}).group is None
    with pytest.raises(ValidationError, match="group"):
        TableParams.model_validate(values | {"group": ""})
