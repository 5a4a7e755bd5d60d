"""params.yaml is validated as a whole; each problem names key, value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from tests.conftest import defaults
from tests.project import ROOT, TRANSFORMER, merge_changes
from workflow.params import Params, load_params, validate_params

BAD = [
    ({"train": {"epochs": 0}}, "train.epochs", "0", "greater than or equal to 1"),
    ({"train": {"epochs": "5"}}, "train.epochs", "'5'", "valid integer"),
    ({"train": {"cell": "transformer"}}, "train.cell", "'transformer'", "'simple_rnn'"),
    ({"train": {"learning_rate": float("nan")}}, "train.learning_rate", "nan", "finite"),
    ({"fetch": {"synthetic": {"cue_distance": 10}}}, "synthetic", "distance 10", "times opinions"),
    ({"fetch": {"table": {"train": "https://u:p@h/a.csv"}}}, "fetch.table.train", "", "~/.netrc"),
    ({"fetch": {"table": {"test": "s3://b/a.csv?sig=1"}}}, "fetch.table.test", "", "a signature"),
    ({"fetch": {"added_texts": "https://u:p@h/a.csv"}}, "fetch.added_texts", "", "~/.netrc"),
    ({"evaluate": {"length_buckets": [2, 1]}}, "evaluate.length_buckets", "[2, 1]", "greater than"),
    ({"train": 5}, "train", "5", "mapping of keys"),
    ({"train": {"unitz": 3}}, "train.unitz", "unknown key", "Did you mean units? Allowed: "),
    ({"sweep": {"trials": 3}}, "sweep: unknown key. ", "Allowed: ", "fetch, pad, train"),
]


@pytest.mark.parametrize(("changes", "key", "value", "allowed"), BAD)
def test_bad_value_is_one_message_with_key_value_and_what_is_allowed(
    changes: dict[str, Any], key: str, value: str, allowed: str
) -> None:
    with pytest.raises(UserError) as raised:
        validate_params(merge_changes(defaults(), changes), "params.yaml")
    message = str(raised.value)
    assert key in message
    assert value in message
    assert allowed in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"architecture": "recurrent"},
            "heads applies only to the transformer architecture: set it to 0",
        ),
        ({"heads": 5}, "heads 5 must divide embedding_units 64"),
        ({"embedding_units": 3}, "heads 2 must divide embedding_units 3"),
        ({"mask_padding": False}, "mask_padding must be true"),
        (
            {"dropout": {"recurrent": 0.2}},
            "dropout.recurrent applies only to the recurrent architecture",
        ),
        (
            {"architecture": "linear", "heads": 0},
            "mask_padding applies only to the recurrent or transformer architecture: set it to fal",
        ),
    ],
    ids=str,
)
def test_param_of_another_architecture_is_refused(changes: dict[str, Any], problem: str) -> None:
    document = merge_changes(defaults(), {"train": merge_changes(TRANSFORMER, changes)})
    with pytest.raises(UserError, match=rf"train: architecture \w+: .*{problem}"):
        validate_params(document, "params.yaml")


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, "1"), (True, "true"), (0.5, "0.5"), (5.0, "5"), ("1.0", "1"), ("a", "a")],
)
def test_label_that_is_not_a_text_is_written_as_in_json(value: Any, label: str) -> None:
    document = merge_changes(defaults(), {"fetch": {"table": {"positive": value}}})
    assert validate_params(document, "params.yaml").fetch.table.positive == label


@pytest.mark.parametrize("text", ["train: [", "a: 1\na: 2\n", "a: 2001-02-30", "", "[" * 5000])
def test_file_that_is_not_a_mapping_in_yaml_is_one_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml"):
        load_params(path)


def test_all_missing_keys_and_wrong_values_are_named() -> None:
    document = merge_changes(defaults(), {"train": {"epochs": 0}})
    del document["pad"]["max_length"], document["train"]["linear"]
    with pytest.raises(UserError, match=r"(?s)pad.max_length: missing.*train.epochs: 0") as raised:
        validate_params(document, "params.yaml")
    assert "train.linear: missing" in str(raised.value)


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="root of the project"):
        load_params(tmp_path / "params.yaml")


def test_default_params_are_those_of_the_notebook(default_params: Params) -> None:
    pad = default_params.pad
    train = default_params.train
    assert (pad.num_words, pad.max_length) == (10_000, 200)
    assert (train.embedding_units, train.cell, train.units) == (64, "lstm", 64)
    assert (train.optimizer, train.epochs, train.batch_size) == ("adam", 5, 64)
    assert train.validation_split == 0.2
    load_params(ROOT / "params.yaml")  # a user may have changed it
