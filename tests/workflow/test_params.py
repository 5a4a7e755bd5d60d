from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from tests.conftest import defaults
from tests.project import DEFAULT_PARAMS, ROOT, TRANSFORMER, merged
from workflow.params import Params, check_params, load_params

BAD = [
    ({"train": {"epochs": 0}}, "train.epochs", "0", "greater than or equal to 1"),
    ({"train": {"epochs": "5"}}, "train.epochs", "'5'", "valid integer"),
    ({"train": {"epochs": 2.5}}, "train.epochs", "2.5", "valid integer"),
    ({"train": {"epochs": True}}, "train.epochs", "True", "valid integer"),
    ({"train": {"validation_split": 1.5}}, "train.validation_split", "1.5", "less than 1"),
    ({"train": {"cell": "transformer"}}, "train.cell", "'transformer'", "'simple_rnn'"),
    ({"train": {"architecture": "lstm"}}, "train.architecture", "'lstm'", "'transformer'"),
    ({"train": {"learning_rate": float("nan")}}, "train.learning_rate", "nan", "finite"),
    ({"train": {"dropout": {"head": 1.0}}}, "train.dropout.head", "1.0", "less than 1"),
    ({"train": {"pooling": "sum"}}, "train.pooling", "'sum'", "'max+mean'"),
    ({"fetch": {"synthetic": {"vocab_size": 3}}}, "synthetic.vocab_size", "3", "equal to 200"),
    ({"fetch": {"url": "ftp://here"}}, "fetch.url", "'ftp://here'", "https?"),
    ({"fetch": {"url": "https://me@data.example/"}}, "fetch.url", "", "~/.netrc"),
    ({"fetch": {"archive_sha256": "abc"}}, "fetch.archive_sha256", "'abc'", "64"),
    ({"pad": {"num_words": 3}}, "pad.num_words", "3", "greater than or equal to 5"),
    ({"pad": {"start_token": 0}}, "pad: ", "[0, 0, 2]", "must differ"),
    ({"pad": {"index_from": 1}}, "pad: ", "index_from 1", "largest mark 2"),
    ({"fetch": {"synthetic": {"cue_distance": 10}}}, "synthetic", "distance 10", "times opinions"),
    ({"fetch": {"table": {"group": "a", "test_share": 0.6}}}, "fetch.table", "0.6", "at most 0.5"),
    ({"fetch": {"table": {"train": "https://u:p@h/a.csv"}}}, "fetch.table.train", "", "~/.netrc"),
    ({"fetch": {"table": {"test": "s3://b/a.csv?sig=1"}}}, "fetch.table.test", "", "a signature"),
    ({"fetch": {"table": {"train": "https://h/a.csv#t"}}}, "fetch.table.train", "", "a token"),
    ({"fetch": {"url": "https://data.example/?t=1/"}}, "fetch.url", "", "a signature"),
    ({"fetch": {"url": "HTTPS://token@data.example/"}}, "fetch.url", "", "~/.netrc"),
    ({"fetch": {"table": {"positive": [1]}}}, "fetch.table.positive", "[1]", "valid string"),
    ({"fetch": {"table": {"positive": float("nan")}}}, "positive", "nan", "valid string"),
    ({"evaluate": {"threshold": 1.0}}, "evaluate.threshold", "1.0", "less than 1"),
    ({"evaluate": {"length_buckets": [2, 1]}}, "evaluate.length_buckets", "[2, 1]", "rise"),
    ({"train": 5}, "train", "5", "mapping"),
    ({"train": {"units": {"a": 1}}}, "train.units", "{'a': 1}", "valid integer"),
]


@pytest.mark.parametrize(("changes", "key", "value", "allowed"), BAD)
def test_bad_value_is_one_message_with_key_value_and_what_is_allowed(
    changes: dict[str, Any], key: str, value: str, allowed: str
) -> None:
    with pytest.raises(UserError) as raised:
        check_params(merged(defaults(), changes), "params.yaml")
    message = str(raised.value)
    assert key in message
    assert value in message
    assert allowed in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"architecture": "recurrent"}, "heads is the transformer network's alone: set it to 0"),
        ({"heads": 0}, "heads 0 must divide the size of the vectors"),
        ({"heads": 5}, "heads 5 must divide the size of the vectors, embedding_units and"),
        ({"bigrams": {"units": 3}}, "heads 2 must divide the size of the vectors"),
        ({"mask_padding": False}, "mask_padding must be true"),
        ({"cell": "gru"}, "cell is the recurrent network's alone: set it to lstm"),
        ({"forget_bias": 3.0}, "forget_bias is the recurrent network's alone: set it to 1"),
        (
            {"bidirectional": True},
            "bidirectional is the recurrent network's alone: set it to false",
        ),
        ({"recurrent_initializer": "identity"}, "set it to orthogonal"),
        ({"dropout": {"recurrent": 0.2}}, "dropout.recurrent is the recurrent network's alone"),
    ],
    ids=str,
)
def test_what_does_not_go_with_the_architecture_is_refused(
    changes: dict[str, Any], problem: str
) -> None:
    document = merged(defaults(), {"train": merged(TRANSFORMER, changes)})
    with pytest.raises(UserError, match=rf"train: architecture \w+: .*{problem}"):
        check_params(document, "params.yaml")


def test_all_that_does_not_go_with_an_architecture_is_told_at_once() -> None:
    document = merged(defaults(), {"train": {"architecture": "transformer", "bidirectional": True}})
    with pytest.raises(UserError, match=r"bidirectional .*; heads 0 .*; mask_padding "):
        check_params(document, "params.yaml")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *((1, "1"), (True, "true"), (False, "false"), (0.5, "0.5"), (5.0, "5")),
        *(("1", "1"), ("1.0", "1"), ("True", "true"), ("a", "a")),
    ],
)
def test_a_label_that_is_no_text_is_one_as_json_has_it(value: Any, label: str) -> None:
    document = merged(defaults(), {"fetch": {"table": {"positive": value}}})
    assert check_params(document, "params.yaml").fetch.table.positive == label


def test_unknown_key_is_named_with_the_likely_one_and_all_allowed() -> None:
    with pytest.raises(UserError, match=r"train.unitz: unknown key. Did you mean units\? Allowed:"):
        check_params(merged(defaults(), {"train": {"unitz": 3}}), "params.yaml")


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("compare", "extras/compare/compare.yaml"),
        ("linear", "extras/baseline/params.yaml"),
        ("memory", "benchmarks/seeds/memory.py"),
        ("predict", "make predict WORDS=5"),
        ("sweep", "extras/sweep/sweep.yaml"),
    ],
)
def test_a_section_of_an_earlier_version_is_named_with_its_new_place(
    section: str, place: str
) -> None:
    with pytest.raises(UserError, match=rf"{section}: unknown key\. Remove it: .*{place}"):
        check_params({**defaults(), section: {"seeds": 3}}, "params.yaml")


@pytest.mark.parametrize(
    ("section", "key", "earlier"),
    [
        ("train", "architecture", ". `recurrent` is what earlier versions trained"),
        ("train", "heads", ". `0` is what earlier versions trained"),
        ("pad", "max_length", ""),
    ],
)
def test_missing_key_is_named_with_the_value_that_earlier_versions_had(
    section: str, key: str, earlier: str
) -> None:
    document = defaults()
    del document[section][key]
    with pytest.raises(UserError, match=rf"{section}\.{key}: missing{earlier}"):
        check_params(document, "params.yaml")


def test_all_problems_are_told_at_once() -> None:
    changes = {"train": {"epochs": 0}, "pad": {"max_length": 0}}
    with pytest.raises(UserError, match=r"(?s)pad.max_length.*train.epochs"):
        check_params(merged(defaults(), changes), "params.yaml")


def test_params_yaml_has_at_most_120_lines() -> None:
    assert len(DEFAULT_PARAMS.read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("text", ["train: [", "a: 1\na: 2\n", "", "- 1\n", "\x00"])
def test_what_is_no_mapping_in_yaml_is_one_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml"):
        load_params(path)


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="root of the project"):
        load_params(tmp_path / "params.yaml")


def test_defaults_are_the_missions(default_params: Params) -> None:
    pad, train = default_params.pad, default_params.train
    assert (pad.num_words, pad.max_length) == (10_000, 200)
    assert (train.embedding_units, train.cell, train.units) == (64, "lstm", 64)
    assert (train.optimizer, train.epochs, train.batch_size) == ("adam", 5, 64)
    assert train.validation_split == 0.2
    load_params(ROOT / "params.yaml")  # which a user may have changed
