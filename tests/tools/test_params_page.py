"""docs/params.md agrees with the defaults, the limits and the descriptions in the code."""

import re

from sentiment.section import flatten
from tests.project import ROOT
from tools import params_page
from workflow.params import Params


def test_page_agrees_with_the_defaults_and_the_code(default_params: Params) -> None:
    page = params_page.render_page(default_params)
    assert (ROOT / params_page.PAGE).read_text(encoding="utf-8") == page
    names = [name for section, values in default_params for name in flatten(values, section)]
    assert [name for name in names if page.count(f"\n| `{name}` | ") != 1] == []


def test_each_param_has_limits_default_and_description(default_params: Params) -> None:
    page = params_page.render_page(default_params)
    assert "\n| `train.units` | integer, ≥ 1, ≤ 4,096 | `64` | Size of the recurrent state" in page
    assert "\n| `train.bidirectional` | boolean | `false` | Whether" in page
    assert "\n| `train.cell` | `lstm`, `gru`, `simple_rnn` | `lstm` | Kind of" in page
    assert "\n| `fetch.table.group` | string or null | `null` | Column of groups" in page
    cells = re.findall(r"^\| `\S+` \| (.+) \| `(.+)` \| (.+) \|$", page, re.MULTILINE)
    assert len(cells) == page.count("\n| `")
    assert not [cell for cell in cells if "None" in cell]


def test_section_has_a_heading_and_a_description(default_params: Params) -> None:
    page = params_page.render_page(default_params)
    assert "\n## train\n\nModel and training.\n\n| param |" in page
    assert "\n### train.dropout\n\nShare of the values" in page
