"""The params, their limits, and those that a dataset and a training read."""

from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, SyntheticParams, TableParams, used_fetch_params
from tests.params import new_params, new_section, shipped_params, training_params

TABLE = TableParams(train="own.csv", text="body", label="stars", positive="5", tokenizer="unicode")
SYNTHETIC = SyntheticParams(seed=7)
URL = "https://ann:secret@host/a.csv?signature=secret"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"lstm": {"units": 0}}, "lstm.units"),
        ({"lstm": {"epochs": 5.0}}, "lstm.epochs"),
        ({"bilstm": {"bidirectional": 1}}, "bilstm.bidirectional"),
        ({"linear": {"learning_rate": float("inf")}}, "linear.learning_rate"),
        ({"lstm": {"cell": "transformer"}}, "lstm.cell"),
        ({"seed": 2**32}, "seed"),
        ({"lstm": {"dropout": {"head": 1.0}}}, "lstm.dropout.head"),
        ({"custom": {"num_words": 4}}, "custom.num_words"),
        ({"custom": {"network": {"filters": None}}}, "custom.network.filters"),
        ({"custom": {"network": {"widths": [{}]}}}, "custom.network.widths"),
        ({"fetch": {"table": {"test_share": 1.0}}}, "fetch.table.test_share"),
        ({"fetch": {"table": {"positive": [1]}}}, "fetch.table.positive"),
        ({"fetch": {"table": {"train": "a\0b"}}}, "A path cannot contain a null character"),
    ],
)
def test_value_outside_its_limits_is_refused(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError) as raised:
        new_params(**changes)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [{"fetch": {"table": {"train": URL}}}, {"fetch": {"table": {"test": URL}}}, {"vectors": URL}],
)
def test_url_in_place_of_a_path_is_refused_without_showing_it(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="A URL is not allowed") as raised:
        new_params(**changes)
    assert "secret" not in str(raised.value)


def test_the_file_that_stands_for_no_vectors_is_written_back() -> None:
    params = new_params()
    assert params.vectors == ""
    assert params.model_dump()["vectors"] == shipped_params()["vectors"]


def test_a_training_has_the_section_that_model_names() -> None:
    training = new_params(model="linear", seed=7).training
    assert (training.model, training.seed) == ("linear", 7)
    assert training.section == new_section("linear")


def test_the_params_of_a_run_have_no_prefix_and_are_those_of_its_section() -> None:
    logged = training_params("lstm", seed=7).logged()
    assert (logged["model"], logged["seed"], logged["architecture"]) == ("lstm", 7, "recurrent")
    assert (logged["units"], logged["dropout.input"], logged["num_words"]) == (64, 0.0, 10000)
    assert not {"ngrams", "network.filters"} & logged.keys()
    assert training_params("custom").logged()["network.widths"] == [3, 4, 5]


def test_with_word_vectors_a_training_reads_no_size_of_them_and_else_no_freezing() -> None:
    with_vectors = training_params("lstm", vectors="glove.txt").logged()
    assert with_vectors["vectors"] == "glove.txt"
    assert "freeze_vectors" in with_vectors
    assert "embedding_units" not in with_vectors
    without = training_params("lstm").logged()
    assert "embedding_units" in without
    assert not {"vectors", "freeze_vectors"} & without.keys()


def test_positive_label_may_be_a_number_or_a_boolean() -> None:
    tables = [TableParams.model_validate({"positive": value}) for value in (1, 1.0, True)]
    assert [table.positive for table in tables] == ["1", "1", "true"]


@pytest.mark.parametrize(
    ("fetch", "name"),
    [
        (FetchParams(), "imdb"),
        (FetchParams(dataset="synthetic"), "synthetic"),
        (
            FetchParams(dataset="table", table=TABLE.model_copy(update={"train": "a/own.csv"})),
            "own.csv",
        ),
    ],
)
def test_dataset_has_a_name_and_a_table_has_that_of_its_file(fetch: FetchParams, name: str) -> None:
    assert fetch.dataset_name == name


def test_only_tables_are_tokenized_as_their_params_say() -> None:
    assert FetchParams(dataset="imdb", table=TABLE).tokenizer == "keras"
    assert FetchParams(dataset="table", table=TABLE).tokenizer == "unicode"


@pytest.mark.parametrize("dataset", ["imdb", "synthetic", "table"])
def test_used_params_are_the_same_after_unused_ones_got_their_defaults(
    dataset: Any,
) -> None:
    fetch = FetchParams(dataset=dataset, synthetic=SYNTHETIC, table=TABLE)
    used = fetch.used()
    assert used_fetch_params(used) == used_fetch_params(fetch)
    assert (used.synthetic == SYNTHETIC) == (dataset == "synthetic")
    assert (used.table == TABLE) == (dataset == "table")
    assert (used.dataset_name, used.tokenizer) == (fetch.dataset_name, fetch.tokenizer)


def test_dataset_reads_only_its_own_params() -> None:
    def names(kind: type[SyntheticParams | TableParams], section: str) -> set[str]:
        return {"fetch.dataset", *(f"fetch.{section}.{name}" for name in kind.model_fields)}

    assert used_fetch_params(FetchParams()).keys() == {"fetch.dataset"}
    assert used_fetch_params(FetchParams(dataset="synthetic")).keys() == names(
        SyntheticParams, "synthetic"
    )
    assert used_fetch_params(FetchParams(dataset="table")).keys() == names(TableParams, "table")
