"""The plots of a comparison: A always in blue, B in orange, each training of a group thin."""

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from extras.compare.comparison import Comparison
from extras.compare.disagreement import Subset
from extras.compare.verdict import points
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.scoring.plots import NEUTRAL, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("tab:blue", "tab:orange")


def draw(comparison: Comparison, params: Evaluate) -> dict[str, Figure]:
    """All plots by their names; no gradients where one group does not have them."""
    plots = {
        "accuracy": accuracy(comparison, params),
        "reliability": reliability(comparison, params),
        "groups": groups(comparison, params),
    }
    if all(comparison.gradients):
        plots["gradients"] = gradients(comparison, params)
    return plots


def _lines(axes: "Axes", tables: list[pd.DataFrame], columns: tuple[str, str], **look: str) -> None:
    """Draw one line for each training, thin where there are several; the first has the label.

    A's line is wider, so that it is seen where B's lies on it.
    """
    width, alpha = (1.5, 1.0) if len(tables) == 1 else (0.8, 0.6)
    width *= 2 if look["color"] == COLORS[0] else 1
    marker, color, style = look["marker"], look["color"], look.get("style", "-")
    for number, table in enumerate(tables):
        (line,) = axes.plot(table[columns[0]], table[columns[1]], marker=marker, color=color)
        line.set(markersize=4, linewidth=width, alpha=alpha, linestyle=style)
        if number == 0:
            line.set_label(look["label"])


def accuracy(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw accuracy by epoch, in training dashed and in validation solid."""
    figure, axes = new_axes(params, "Accuracy by epoch", "Epoch", "Accuracy")
    for letter, color, tables in zip("AB", COLORS, comparison.curves, strict=True):
        look = {"marker": "o", "color": color, "label": f"{letter}, training", "style": "--"}
        _lines(axes, tables, ("epoch", "accuracy"), **look)
        look = {"marker": "s", "color": color, "label": f"{letter}, validation"}
        _lines(axes, tables, ("epoch", "val_accuracy"), **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def reliability(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw how often reviews are positive against how likely each model says they are."""
    figure, axes = new_axes(params, "Reliability", "Predicted probability", "Share positive")
    errors = [summary.metrics["ece"].mean for summary in (comparison.a, comparison.b)]
    for letter, color, tables, error in zip(
        "AB", COLORS, comparison.reliability, errors, strict=True
    ):
        label = f"{letter}, calibration error {error:.4f}"
        _lines(axes, tables, ("predicted", "observed"), marker="o", color=color, label=label)
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def gradients(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw the gradient's mean norm by the distance from the last word."""
    title = "How far back the gradient reaches"
    figure, axes = new_axes(params, title, "Words before the last", "Norm of the gradient")
    for letter, color, tables in zip("AB", COLORS, comparison.gradients, strict=True):
        _lines(axes, tables, ("distance", "mean"), marker="", color=color, label=letter)
    axes.set_yscale("log")
    axes.legend()
    return figure


def groups(comparison: Comparison, params: Evaluate) -> Figure:
    """Draw the difference in each group of reviews with its interval."""
    title = f"B − A by kind of review, {100 * comparison.confidence:g} % intervals"
    figure, axes = new_axes(params, title, "Percentage points", "")
    shown = comparison.groups[::-1]  # the first on top
    for height, group in enumerate(shown):
        low, high = group.result.interval
        bounded = _has_interval(group)
        if bounded:
            axes.plot([low, high], [height, height], color=NEUTRAL, linewidth=2, zorder=2)
        fill = "full" if bounded else "none"
        axes.plot(group.result.difference, height, "o", color="black", fillstyle=fill, zorder=3)
    axes.axvline(0, linestyle="--", color=NEUTRAL)
    axes.set_yticks(range(len(shown)), [_label(group) for group in shown])
    axes.margins(y=0.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))
    return figure


def _has_interval(group: Subset) -> bool:
    """Whether trainings of one group differ on these reviews; else anything is possible."""
    low, high = group.result.interval
    return high - low < 2


def _label(group: Subset) -> str:
    name = f"{group.name} words" if group.kind == "words" else group.name
    interval = "" if _has_interval(group) else ", no interval"
    return f"{name}\n{group.reviews:,} reviews{interval}"
