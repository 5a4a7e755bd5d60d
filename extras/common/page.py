"""Self-contained HTML pages: one file that shows the same in mail, on a phone and from an archive.

Templates are in `templates/` of what renders them, and extend `base.html` here, which has all of
the style.
Plots are part of the page as SVG, so that they take the colours of its light or dark mode.
"""

import hashlib
import re
from io import StringIO
from pathlib import Path
from typing import Any

import markupsafe
import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from workflow.ending import escape

TEMPLATES = Path(__file__).with_name("templates")
# What base.html gives another value in dark mode; any other colour is the same in both.
COLOURS = {
    "#000000": "ink",
    "#ffffff": "paper",
    "#1f77b4": "blue",
    "#ff7f0e": "orange",
    "#999999": "faint",
    "#b0b0b0": "faint",
    "#cccccc": "faint",
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def svg(figure: Figure, alt: str) -> markupsafe.Markup:
    """Draw a figure as an SVG element, as wide as the box it stands in.

    Black and white become the page's ink and paper, matplotlib's first two colours the page's
    blue and orange; the letters are the page's own. The same figure gives the same text.

    Args:
        figure: what to draw; its size in inches times 72 is the width in px at which letters have
            the size that the figure sets.
        alt: what the plot shows, for those who do not see it.
    """
    text = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "page"}):
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA)
    width, height = 72 * figure.get_size_inches()
    body = recoloured(content(text.getvalue()))
    attributes = (
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{markupsafe.escape(alt)}"'
    )
    digest = hashlib.sha256((attributes + body).encode()).hexdigest()[:8]
    return markupsafe.Markup(f'<svg class="plot" {attributes}>{with_prefix(body, digest)}</svg>')


def content(document: str) -> str:
    """What matplotlib draws, without the root element and the style sheet, which would be for all.

    Args:
        document: a complete SVG document by matplotlib.
    """
    _, _, drawn = document.partition("</defs>")
    return drawn.rpartition("</svg>")[0].strip()


def recoloured(body: str) -> str:
    """Replace the colours by the page's variables, and fonts by the page's own."""
    pattern = rf"(fill|stroke): ({'|'.join(COLOURS)})"
    body = re.sub(pattern, lambda match: f"{match[1]}: var(--{COLOURS[match[2]]})", body)
    body = re.sub(r'font: ([\d.]+px) [^;"]+', r"font-size: \1", body)
    return re.sub(r' font-family: [^;"]+;', "", body)


def with_prefix(body: str, prefix: str) -> str:
    """Begin every id, and every reference to one, with `prefix`."""
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}-", body)


def _finalized(value: Any) -> Any:
    return escape(value) if type(value) is str else value


def render(template: Path, **context: Any) -> str:
    """Fill a template; a missing value is an error.

    Texts are escaped, and control characters in them are shown, see `workflow.ending.escape`.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(context)
