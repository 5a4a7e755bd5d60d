"""The params, their defaults and limits, and those that a dataset and an architecture read."""

from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.params import (
    RECURRENT_PARAMS,
    DropoutParams,
    FetchParams,
    LinearParams,
    PadParams,
    Params,
    SyntheticParams,
    TableParams,
    TrainParams,
    changed_but_unread,
    merge_params,
    used_params,
)
from sentiment.project.params_file import parse_params

TABLE = TableParams(train="own.csv", text="body", label="stars", positive="5", tokenizer="unicode")
SYNTHETIC = SyntheticParams(seed=7)
URL = "https://ann:secret@host/a.csv?signature=secret"
PAD_NAMES = {f"pad.{name}" for name in PadParams.model_fields}


def used_names(fetch: FetchParams, train: TrainParams | None = None) -> set[str]:
    return used_params(fetch, PadParams(), train or TrainParams()).keys() - PAD_NAMES


def names_of(section: str, names: list[str]) -> set[str]:
    return {f"{section}.{name}" for name in names}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"train": {"units": 0}}, "train.units"),
        ({"train": {"epochs": 5.0}}, "train.epochs"),
        ({"train": {"bidirectional": 1}}, "train.bidirectional"),
        ({"train": {"learning_rate": float("inf")}}, "train.learning_rate"),
        ({"train": {"cell": "transformer"}}, "train.cell"),
        ({"train": {"seed": 2**32}}, "train.seed"),
        ({"train": {"dropout": {"head": 1.0}}}, "train.dropout.head"),
        ({"pad": {"num_words": 4}}, "pad.num_words"),
        ({"fetch": {"table": {"test_share": 1.0}}}, "fetch.table.test_share"),
        ({"fetch": {"table": {"positive": [1]}}}, "fetch.table.positive"),
        ({"fetch": {"table": {"train": "a\0b"}}}, "A path cannot contain a null character"),
    ],
)
def test_value_outside_its_limits_is_refused(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_params(merge_params(Params().model_dump(), changes), "params.yaml")
    assert name in str(raised.value)


def test_params_that_are_changed_but_not_read_are_known() -> None:
    dropout = DropoutParams(head=0.5)
    linear = TrainParams(architecture="linear", units=32, dropout=dropout, epochs=3)
    assert changed_but_unread(PadParams(), linear) == ["train.units", "train.dropout.head"]
    recurrent = TrainParams(units=32, linear=LinearParams(ngrams=1))
    assert changed_but_unread(PadParams(), recurrent) == ["train.linear.ngrams"]
    assert changed_but_unread(PadParams(), TrainParams()) == []


def test_with_word_vectors_the_size_of_the_embedding_is_not_read() -> None:
    with_vectors = PadParams(vectors="glove.txt")
    train = TrainParams(embedding_units=32, freeze_vectors=True)
    assert changed_but_unread(with_vectors, train) == ["train.embedding_units"]
    assert changed_but_unread(PadParams(), train) == ["train.freeze_vectors"]
    assert used_params(FetchParams(), with_vectors, train)["pad.vectors"] == "glove.txt"
    assert "pad.vectors" not in used_params(FetchParams(), PadParams(), train)


def test_each_argument_of_a_custom_network_is_a_param_of_its_own() -> None:
    custom = TrainParams(architecture="custom", units=32, custom={"filters": 9, "widths": [2, 3]})
    used = used_params(FetchParams(), PadParams(), custom)
    assert (used["train.custom.filters"], used["train.custom.widths"]) == (9, [2, 3])
    assert changed_but_unread(PadParams(), custom) == ["train.units"]
    other = TrainParams(custom={"filters": 9})
    assert changed_but_unread(PadParams(), other) == ["train.custom.filters"]


@pytest.mark.parametrize("fetch", [{"table": {"train": URL}}, {"table": {"test": URL}}])
def test_url_in_place_of_a_path_is_refused_without_showing_it(fetch: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="A URL is not allowed") as raised:
        parse_params(merge_params(Params().model_dump(), {"fetch": fetch}), "params.yaml")
    assert "secret" not in str(raised.value)


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
    assert used_params(used, PadParams(), TrainParams()) == used_params(
        fetch, PadParams(), TrainParams()
    )
    assert (used.synthetic == SYNTHETIC) == (dataset == "synthetic")
    assert (used.table == TABLE) == (dataset == "table")
    assert (used.dataset_name, used.tokenizer) == (fetch.dataset_name, fetch.tokenizer)


def test_dataset_reads_only_its_own_params() -> None:
    train = {name for name in used_names(FetchParams()) if name.startswith("train.")}
    synthetic = FetchParams(dataset="synthetic")
    assert used_names(FetchParams()) - train == {"fetch.dataset"}
    assert used_names(synthetic) - train == {
        "fetch.dataset",
        *names_of("fetch.synthetic", list(SyntheticParams.model_fields)),
    }
    assert used_names(FetchParams(dataset="table")) - train == {
        "fetch.dataset",
        *names_of("fetch.table", list(TableParams.model_fields)),
    }


def test_architecture_reads_only_its_own_params() -> None:
    recurrent = used_names(FetchParams())
    linear = used_names(FetchParams(), TrainParams(architecture="linear"))
    only_linear = {name.split(".")[1] for name in linear - recurrent}
    only_recurrent = {name.split(".")[1] for name in recurrent - linear}
    assert only_linear == {"linear"}
    assert only_recurrent == set(RECURRENT_PARAMS) - {"freeze_vectors"}  # there are none
    assert {"train.architecture", "train.epochs"} <= linear & recurrent
