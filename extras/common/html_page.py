"""Render HTML pages that need no other file: plots are part of a page.

Templates extend `templates/base.html`, which has the style.
"""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import markupsafe
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from workflow.terminal import replace_control_characters

TEMPLATES = Path(__file__).with_name("templates")
DOTS_PER_INCH = 200  # sharp on a screen with two pixels a dot


def draw_image(figure: Figure, alt: str) -> markupsafe.Markup:
    """Draw a figure as an image element. Equal figures give equal elements.

    Args:
        figure: the plot.
        alt: a description for people who do not see the plot.
    """
    png = BytesIO()
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH)
    data = base64.b64encode(png.getvalue()).decode()
    return markupsafe.Markup('<img class="plot" alt="{}" src="data:image/png;base64,{}">').format(
        alt, data
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
