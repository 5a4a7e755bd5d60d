import pytest
from pydantic import BaseModel

from sentiment.params import Evaluate, Fetch, Pad, Params, Train
from tests.project import DEFAULT_PARAMS, ROOT
from tools import docs


def test_page_of_params_is_as_the_model_says(default_params: Params) -> None:
    assert (ROOT / docs.PAGE).read_text(encoding="utf-8") == docs.page(default_params)


def test_comments_of_params_are_as_the_model_says() -> None:
    text = DEFAULT_PARAMS.read_text(encoding="utf-8")
    assert docs.commented(text).splitlines() == text.splitlines()


def test_every_parameter_and_section_has_a_description() -> None:
    schema = Params.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    bare = [
        f"{model['title']}.{name}"
        for model in models
        for name, found in model["properties"].items()
        if not found.get("description")
    ]
    assert bare == []


def test_a_comment_is_replaced_and_the_value_kept() -> None:
    text = "# head\n\ntrain:\n  dropout:\n    head: 0.25  # as it was\n  units: 8\n"
    assert docs.commented(text).splitlines() == [
        "# head",
        "",
        "train:                   # the network and its training",
        "  dropout:               # shares of values set to zero in training; 0 switches it off",
        "    head: 0.25           # the vector that the classifier reads",
        "  units: 8               # size of the recurrent state, for each direction",
    ]


def test_choices_come_before_the_description_of_a_comment() -> None:
    assert docs.comment(["train", "early_stopping", "monitor"]) == (
        "val_loss | val_accuracy: metric that has to improve"
    )


@pytest.mark.parametrize(
    ("section", "name", "allowed"),
    [
        (Pad, "padding", "`pre`, `post`"),
        (Train, "deterministic", "`true`, `false`"),
        (Train, "units", "integer, ≥ 1, ≤ 4,096"),
        (Train, "validation_split", "number, > 0, < 1"),
        (Fetch, "archive_sha256", "`^[0-9a-f]{64}$`"),
        (Evaluate, "length_buckets", "list, 1 or more: integer"),
    ],
)
def test_limits_are_those_of_the_model(section: type[BaseModel], name: str, allowed: str) -> None:
    assert docs.allowed(section.model_json_schema()["properties"][name]) == allowed


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (0.001, "0.001"), (5.0, "5"), ("a" * 64, "aaaaaaaa…")]
)
def test_values_are_shown_as_in_params_yaml(value: object, text: str) -> None:
    assert docs.shown(value) == text
