from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from sentiment.data.dataset import Fetch
from sentiment.network.train_options import Train
from sentiment.padding import Pad
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.section import flatten
from tests.project import DEFAULT_PARAMS, ROOT
from tools import docs
from workflow.params import Params
from workflow.params_file import parameter


def test_page_of_params_is_as_their_file_and_the_limits_say(default_params: Params) -> None:
    text = DEFAULT_PARAMS.read_text(encoding="utf-8")
    assert (ROOT / docs.PAGE).read_text(encoding="utf-8") == docs.page(default_params, text)


def test_every_parameter_and_section_has_a_comment(default_params: Params) -> None:
    names = {name for section, values in default_params for name in flatten(values, section)}
    named = docs.comments(DEFAULT_PARAMS.read_text(encoding="utf-8"))
    assert names <= named.keys()
    assert [name for name, comment in named.items() if not comment] == []


def test_a_comment_begins_with_the_choices_of_its_parameter() -> None:
    named = docs.comments(DEFAULT_PARAMS.read_text(encoding="utf-8"))
    for name in named:
        info = parameter(name)
        if info and get_origin(info.annotation) is Literal:
            assert named[name].startswith(f"{' | '.join(get_args(info.annotation))}: ")


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
