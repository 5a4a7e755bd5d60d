"""The plots of a comparison: A in blue, B in orange, a line for each training."""

from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from extras.common import page
from extras.compare.comparison import Comparison, Tables
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.scoring.plots import NEUTRAL, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTS = {
    "accuracy": "Accuracy by epoch of A and B, in training and validation",
    "reliability": "Share of positive reviews against predicted probability, of A and B",
    "gradients": "Norm of the gradient by words before the last, of A and B",
}


def draw(comparison: Comparison, params: Evaluate) -> dict[str, Markup]:
    """All plots by their names; no gradients where one group does not have them."""
    drawn = {"accuracy": accuracy, "reliability": reliability}
    if all(comparison.gradients.values()):
        drawn["gradients"] = gradients
    return {name: page.svg(plot(comparison, params), PLOTS[name]) for name, plot in drawn.items()}


def _lines(axes: "Axes", tables: Tables, x: str, y: str, style: str, label: str = "") -> None:
    """Draw a line for each training, A's wider, so that they are seen where B's lie on them."""
    for letter, color, width in (("a", "tab:blue", 2.5), ("b", "tab:orange", 1.2)):
        for number, table in enumerate(map(pd.DataFrame, tables[letter])):
            (line,) = axes.plot(table[x], table[y], style, color=color, markersize=4)
            line.set(linewidth=width, alpha=0.8)
            if number == 0:
                line.set_label(f"{letter.upper()}{label}")


def accuracy(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw accuracy by epoch, in training dashed and in validation solid."""
    figure, axes = new_axes(params, "Accuracy by epoch", "Epoch", "Accuracy")
    _lines(axes, comparison.curves, "epoch", "accuracy", "o--", ", training")
    _lines(axes, comparison.curves, "epoch", "val_accuracy", "s-", ", validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def reliability(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw how often reviews are positive against how likely each model says they are."""
    figure, axes = new_axes(params, "Reliability", "Predicted probability", "Share positive")
    _lines(axes, comparison.reliability, "predicted", "observed", "o-")
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def gradients(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw the gradient's mean norm by the distance from the last word."""
    title = "How far back the gradient reaches"
    figure, axes = new_axes(params, title, "Words before the last", "Norm of the gradient")
    _lines(axes, comparison.gradients, "distance", "mean", "-")
    axes.set_yscale("log")
    axes.legend()
    return figure
