"""Render HTML pages that need no other file: plots are part of a page, as SVG.

Templates extend `templates/base.html`, which has the style.
"""

from io import StringIO
from pathlib import Path
from typing import Any

import markupsafe
import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from workflow.terminal import replace_control_characters

TEMPLATES = Path(__file__).with_name("templates")
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def draw_svg(figure: Figure, alt: str) -> markupsafe.Markup:
    """Draw a figure as an SVG element that is as wide as its box. Equal figures give equal texts.

    Args:
        figure: the plot.
        alt: a description for people who do not see the plot. It must be unique on a page.
    """
    text = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(text, format="svg", metadata=NO_METADATA)
    # Leave out the root element and the style sheet, which would apply to the whole page.
    body = text.getvalue().partition("</defs>")[2].rpartition("</svg>")[0].strip()
    width, height = 72 * figure.get_size_inches()
    box = f"0 0 {width:g} {height:g}"
    label = markupsafe.escape(alt)
    return markupsafe.Markup(
        f'<svg class="plot" viewBox="{box}" role="img" aria-label="{label}">{body}</svg>'
    )


def render_page(template: Path, **context: Any) -> str:
    """Fill a template. Texts are escaped, and control characters in them are replaced.

    Args:
        template: the file of the template.
        context: the values that the template uses.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: replace_control_characters(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(context)
