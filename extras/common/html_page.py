"""Self-contained HTML pages: one file that shows the same in mail, on a phone and from an archive.

Templates extend `base.html` here, which has the style. Plots are part of the page, as SVG.
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
    """Draw a figure as an SVG element as wide as its box.

    `alt` describes the plot for those who do not see it, and must be unique on a page. The same
    figure gives the same text.
    """
    text = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(text, format="svg", metadata=NO_METADATA)
    # without the root element and the style sheet, which would be for all of the page
    body = text.getvalue().partition("</defs>")[2].rpartition("</svg>")[0].strip()
    width, height = 72 * figure.get_size_inches()
    box, label = f"0 0 {width:g} {height:g}", markupsafe.escape(alt)
    return markupsafe.Markup(
        f'<svg class="plot" viewBox="{box}" role="img" aria-label="{label}">{body}</svg>'
    )


def render_page(template: Path, **context: Any) -> str:
    """Fill a template; a missing value is an error.

    Texts are escaped, and control characters in them are replaced, see `workflow.terminal`.
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
