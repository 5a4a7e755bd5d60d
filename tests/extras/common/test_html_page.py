"""A page loads nothing, and its texts are escaped."""

import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from extras.common import html_page


def drawn(label: str) -> Figure:
    """Return a figure with a legend, markers, an image and something clipped."""
    axes = Figure(figsize=(4, 3)).add_subplot()
    axes.plot([1, 2], [3, 4], "o-", label=label)
    axes.imshow(np.eye(2))
    axes.add_patch(Circle((0, 0), 1))
    axes.legend()
    assert isinstance(axes.figure, Figure)
    return axes.figure


def test_plot_is_reproducible_and_needs_nothing_else() -> None:
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


def test_text_is_escaped_and_missing_value_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "text.html"
    template.write_text("<p>{{ text }}</p>", encoding="utf-8")
    assert html_page.render_page(template, text="<b>\x1b") == "<p>&lt;b&gt;\ufffd</p>"
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        html_page.render_page(template)
