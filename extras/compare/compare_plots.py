"""The plots of a comparison: A always in blue, B in orange, each training of a group thin."""

from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from extras.common import page
from extras.compare.comparison import Comparison, Tables
from extras.compare.verdict import points
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.scoring.plots import NEUTRAL, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"a": "tab:blue", "b": "tab:orange"}
PLOTS = {
    "accuracy": "Accuracy by epoch of A and B, in training and validation",
    "reliability": "Share of positive reviews against predicted probability, of A and B",
    "groups": "Difference of accuracy by kind of review, with intervals",
    "gradients": "Norm of the gradient by words before the last, of A and B",
}


def draw(comparison: Comparison, params: Evaluate) -> dict[str, Markup]:
    """All plots by their names; no gradients where one group does not have them."""
    drawn = {"accuracy": accuracy, "reliability": reliability, "groups": groups}
    if all(comparison.gradients.values()):
        drawn["gradients"] = gradients
    return {name: page.svg(plot(comparison, params), PLOTS[name]) for name, plot in drawn.items()}


def _lines(axes: "Axes", tables: Tables, x: str, y: str, style: str, label: str = "") -> None:
    """Draw one line for each training, thin where there are several; the first has the label.

    A's line is wider, so that it is seen where B's lies on it.
    """
    for letter, color in COLORS.items():
        width, alpha = (1.5, 1.0) if len(tables[letter]) == 1 else (0.8, 0.6)
        width *= 2 if letter == "a" else 1
        for number, table in enumerate(map(pd.DataFrame, tables[letter])):
            (line,) = axes.plot(table[x], table[y], style, color=color, markersize=4)
            line.set(linewidth=width, alpha=alpha)
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


def groups(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw the difference in each group of reviews with its interval."""
    title = f"B − A by kind of review, {100 * comparison.confidence:g} % intervals"
    figure, axes = new_axes(params, title, "Percentage points", "")
    labels = []
    for height, group in enumerate(comparison.groups[::-1]):  # the first on top
        low, high = group.result.interval
        bounded = high - low < 2  # else no group has a spread, and anything is possible
        if bounded:
            axes.plot([low, high], [height, height], color=NEUTRAL, linewidth=2, zorder=2)
        fill = "full" if bounded else "none"
        axes.plot(group.result.difference, height, "o", color="black", fillstyle=fill, zorder=3)
        interval = "" if bounded else ", no interval"
        labels.append(f"{group.title}\n{group.reviews:,} reviews{interval}")
    axes.axvline(0, linestyle="--", color=NEUTRAL)
    axes.set_yticks(range(len(labels)), labels)
    axes.margins(y=0.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))
    return figure
