"""A page loads nothing, and its texts are escaped."""

import base64
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from extras.common import html_page


def drawn(label: str) -> Figure:
    axes = Figure(figsize=(4, 3)).add_subplot()
    axes.plot([1, 2], [3, 4], "o-", label=label)
    axes.legend()
    assert isinstance(axes.figure, Figure)
    return axes.figure


def test_plot_is_reproducible_and_needs_nothing_else() -> None:
    image = html_page.draw_image(drawn("a"), 'accuracy of "a" & b')
    assert 'alt="accuracy of &#34;a&#34; &amp; b"' in image
    source = re.search(r'src="([^"]+)"', image)
    assert source
    kind, _, data = source[1].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert image == html_page.draw_image(drawn("a"), 'accuracy of "a" & b')
    assert image != html_page.draw_image(drawn("b"), 'accuracy of "a" & b')


def test_text_is_escaped_and_missing_value_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "text.html"
    template.write_text("<p>{{ text }}</p>", encoding="utf-8")
    assert html_page.render_page(template, text="<b>\x1b") == "<p>&lt;b&gt;\ufffd</p>"
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        html_page.render_page(template)
