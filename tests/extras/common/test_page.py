"""A page stands by itself: nothing loaded, nothing unescaped, its plots in its own colours."""

import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from extras.common import page

BASE = page.TEMPLATES / "base.html"


def drawn(label: str = "model") -> Figure:
    """A figure with letters, a legend, markers, a picture and something clipped."""
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot(title="Title", xlabel="Epoch")
    axes.plot([1, 2], [3, 4], "o-", color="tab:blue", label=label)
    axes.plot([1, 2], [4, 3], color="tab:orange")
    axes.imshow(np.eye(2), cmap="Blues")
    axes.add_patch(Circle((0, 0), 1, color="tab:green"))
    axes.text(0, 0, "on a bar", color="white")
    axes.legend()
    return figure


def test_same_figure_gives_the_same_bytes_and_ids_of_two_are_apart() -> None:
    one, other = page.svg(drawn("one"), "one plot"), page.svg(drawn("other"), "another plot")
    assert one == page.svg(drawn("one"), "one plot")
    ids, others = (set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other))
    assert not ids & others
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]+)', one))
    assert referred
    assert referred <= ids


def test_plot_is_as_wide_as_its_box_and_says_what_it_shows() -> None:
    opening = page.svg(drawn(), 'accuracy of "a" & b').partition(">")[0]
    assert 'viewBox="0 0 288 216"' in opening
    assert "width=" not in opening
    assert "svg.plot { display: block; width: 100%" in page.render(BASE)
    assert 'role="img"' in opening
    assert 'aria-label="accuracy of &#34;a&#34; &amp; b"' in opening


def test_plot_takes_the_colours_and_the_font_of_the_page() -> None:
    svg, base = page.svg(drawn(), "a plot"), page.render(BASE)
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert used == {"ink", "paper", "blue", "orange", "faint"}
    assert not set(page.COLOURS) & set(re.findall(r"#[0-9a-f]{6}", svg))
    assert "fill: #2ca02c" in svg  # a colour that the page does not know stays
    for name in used:
        light, dark = re.findall(rf"--{name}: (#[0-9a-f]{{6}});", base)
        assert light != dark
    assert ">Epoch</text>" in svg
    assert "DejaVu" not in svg
    assert "font-size: 10px" in svg


def test_plot_has_neither_date_nor_address_nor_style_sheet_and_its_text_is_escaped() -> None:
    svg = page.svg(drawn("<script>"), "a plot")
    assert not re.search(r"metadata|https?:|<style|<\?xml|<!DOCTYPE", svg)
    assert "&lt;script&gt;" in svg


def test_text_in_a_template_is_escaped_once_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "text.html"
    template.write_text("<p>{{ text }}</p>", encoding="utf-8")
    assert page.render(template, text="<b>\x1b") == "<p>&lt;b&gt;\ufffd</p>"
    assert "<p><svg " in page.render(template, text=page.svg(drawn(), "a plot"))
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        page.render(template)


def test_base_says_its_language_and_its_width_and_loads_nothing() -> None:
    base = page.render(BASE)
    assert '<html lang="en">' in base
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in base
    assert not re.search(r"https?:|//|src=|href=|@import|url\(|<script|<link", base)
