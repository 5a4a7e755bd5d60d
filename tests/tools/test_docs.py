"""The page of parameters says what their file and the limits in the code say."""

import shutil
from pathlib import Path
from typing import Literal, get_args, get_origin

from sentiment.section import flatten
from tests.conftest import Caller
from tests.project import DEFAULT_PARAMS, ROOT, change_params
from tools import docs
from workflow.params import Params
from workflow.params_file import parameter


def test_page_of_params_is_as_their_file_and_the_limits_say(default_params: Params) -> None:
    text = DEFAULT_PARAMS.read_text(encoding="utf-8")
    assert (ROOT / docs.PAGE).read_text(encoding="utf-8") == docs.page(default_params, text)


def test_values_of_one_s_own_are_not_taken_for_defaults(in_tmp_path: Path, call: Caller) -> None:
    for name in ("docs", "tests"):
        (in_tmp_path / name).mkdir()
    shutil.copy(DEFAULT_PARAMS, docs.DEFAULTS)
    shutil.copy(DEFAULT_PARAMS, "params.yaml")
    change_params(Path("params.yaml"), {"train": {"units": 5}})
    call(docs.main)
    assert docs.PAGE.read_bytes() == (ROOT / docs.PAGE).read_bytes()


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
