"""The page of parameters says what their file and the limits in the code say."""

from sentiment.section import flatten
from tests.project import DEFAULT_PARAMS, ROOT
from tools import docs
from workflow.params import Params


def test_page_of_params_is_as_their_file_and_the_limits_say(default_params: Params) -> None:
    page = docs.page(DEFAULT_PARAMS.read_text(encoding="utf-8"))
    assert (ROOT / docs.PAGE).read_text(encoding="utf-8") == page
    names = [name for section, values in default_params for name in flatten(values, section)]
    assert [name for name in names if page.count(f"| `{name}` | `") != 1] == []
