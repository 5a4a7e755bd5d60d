"""docs/params.md agrees with the shipped params and the limits in the code."""

from sentiment.section import flatten
from tests.project import DEFAULT_PARAMS, ROOT
from tools import params_page
from workflow.params import Params


def test_page_agrees_with_the_shipped_params_and_their_limits(default_params: Params) -> None:
    page = params_page.render_page(DEFAULT_PARAMS.read_text(encoding="utf-8"))
    assert (ROOT / params_page.PAGE).read_text(encoding="utf-8") == page
    names = [name for section, values in default_params for name in flatten(values, section)]
    assert [name for name in names if page.count(f"| `{name}` | `") != 1] == []


def test_a_param_or_section_needs_no_comment() -> None:
    page = params_page.render_page("train:\n  units: 64\n  seed: 42  # of all generators\n")
    assert "## train\n\n| param | default | allowed | meaning |\n" in page
    assert "\n| `train.units` | `64` | integer, ≥ 1" in page
    assert " |  |\n| `train.seed` | `42` | integer, ≥ 0" in page
    assert page.endswith(" | of all generators |\n")
