"""A page stands by itself: nothing loaded, nothing unescaped."""

import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from extras.common import html_page


def drawn(label: str) -> Figure:
    """A figure with a legend, markers, a picture and something clipped."""
    axes = Figure(figsize=(4, 3)).add_subplot()
    axes.plot([1, 2], [3, 4], "o-", label=label)
    axes.imshow(np.eye(2))
    axes.add_patch(Circle((0, 0), 1))
    axes.legend()
    assert isinstance(axes.figure, Figure)
    return axes.figure


def test_a_plot_has_what_it_refers_to_and_neither_date_nor_address_nor_style_sheet() -> None:
    svg = html_page.draw_svg(drawn("<script>"), 'accuracy of "a" & b')
    opening = svg.partition(">")[0]
    assert 'viewBox="0 0 288 216"' in opening
    assert 'aria-label="accuracy of &#34;a&#34; &amp; b"' in opening
    assert not re.search(r"metadata|https?:|<style|<\?xml|<!DOCTYPE|<script", svg)
    assert "&lt;script&gt;" in svg
    assert svg == html_page.draw_svg(drawn("<script>"), 'accuracy of "a" & b')
    other = html_page.draw_svg(drawn("other"), "another plot")
    ids, others = (set(re.findall(r' id="([^"]+)"', text)) for text in (svg, other))
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    assert referred
    assert referred <= ids - others


def test_text_in_a_template_is_escaped_once_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "text.html"
    template.write_text("<p>{{ text }}</p>", encoding="utf-8")
    assert html_page.render_page(template, text="<b>\x1b") == "<p>&lt;b&gt;\ufffd</p>"
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        html_page.render_page(template)
