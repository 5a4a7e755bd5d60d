"""Draw plots with Matplotlib's object interface, which needs neither global state nor a display."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (7.0, 4.5)  # inches
DPI = 120  # dots per inch
# A confusion matrix with more labels gets smaller text, and then no counts
MAX_LABELS_UPRIGHT = 5
MAX_LABELS_WITH_COUNTS = 12
CROWDED_FONT_SIZE = 5  # points
TRAINING_COLOR = "tab:blue"
VALIDATION_COLOR = "tab:orange"
NEUTRAL_COLOR = "0.6"


def new_axes(title: str, x: str, y: str) -> tuple[Figure, "Axes"]:
    """Return an empty figure with a title and labels."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure, axes


def draw_curve(history: pd.DataFrame, metric: str) -> Figure:
    """Draw `accuracy` or `loss` of each epoch, on the training and the validation set.

    Args:
        history: columns `epoch`, `accuracy`, `loss`, `val_accuracy` and `val_loss`.
        metric: "accuracy" or "loss".
    """
    figure, axes = new_axes(metric.capitalize(), "Epoch", metric.capitalize())
    epochs = history["epoch"]
    axes.plot(epochs, history[metric], "o-", color=TRAINING_COLOR, label="training")
    axes.plot(epochs, history[f"val_{metric}"], "s-", color=VALIDATION_COLOR, label="validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        axes.set_xticks([1])
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def draw_roc_curves(corners: pd.DataFrame, area: float) -> Figure:
    """Draw ROC curves, and the diagonal of a classifier that guesses.

    Args:
        corners: columns `false_positive_rate`, `true_positive_rate` and, for several labels,
            `label`.
        area: the mean area under the curves.
    """
    figure, axes = new_axes("ROC curve", "False positive rate", "True positive rate")
    curves: dict[str, pd.DataFrame] = {f"model, area {area:.4f}": corners}
    if "label" in corners:
        curves = {str(label): curve for label, curve in corners.groupby("label", sort=False)}
    lines = []
    for curve in curves.values():
        lines += axes.plot(curve["false_positive_rate"], curve["true_positive_rate"])
    lines += axes.plot([0, 1], [0, 1], "--", color=NEUTRAL_COLOR)
    axes.set_aspect("equal")
    title = f"mean area {area:.4f}" if "label" in corners else None
    # Named here, because Matplotlib leaves out labels that start with an underscore.
    names = [*curves, "guessing, area 0.5"]
    legend = axes.legend(lines, names, loc="lower right", title=title)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label may contain dollar signs
    return figure


def draw_confusion_matrix(counts: pd.DataFrame) -> Figure:
    """Draw the confusion matrix.

    With few labels, each cell has its count and its share of the row.
    """
    figure, axes = new_axes("Confusion matrix", "Predicted", "Actual")
    axes.grid(visible=False)
    labels = list(counts["actual"].unique())
    table = counts.pivot(index="actual", columns="predicted", values="texts")
    cells = table.loc[labels, labels].to_numpy()
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    is_crowded = len(labels) > MAX_LABELS_UPRIGHT
    rotation = 90 if is_crowded else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    if len(labels) > MAX_LABELS_WITH_COUNTS:
        axes.tick_params(labelsize=CROWDED_FONT_SIZE)
        return figure
    for (row, column), share in np.ndenumerate(shares):
        text = f"{cells[row, column]:,}\n{share:.1%}"
        color = "white" if share > 0.5 else "black"
        size = CROWDED_FONT_SIZE if is_crowded else None
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    return figure


def draw_reliability(groups: pd.DataFrame, error: float, positive: str | None) -> Figure:
    """Draw the share of texts with a label by its predicted probability.

    Args:
        groups: columns `predicted` (mean probability) and `observed` (share of the texts).
        error: the calibration error.
        positive: the positive label. None: the label is the predicted one.
    """
    observed = f"Share {positive}" if positive else "Share predicted right"
    figure, axes = new_axes("Reliability", "Predicted probability", "")
    axes.set_ylabel(observed, parse_math=False)  # a label may contain dollar signs
    label = f"model, expected calibration error {error:.4f}"
    axes.plot(groups["predicted"], groups["observed"], "o-", color=TRAINING_COLOR, label=label)
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL_COLOR, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def draw_gradients(table: pd.DataFrame) -> Figure:
    """Draw the gradient's norm by the distance from the last word, on a logarithmic axis.

    Args:
        table: columns `distance`, `mean`, `low`, `high` and `initial_mean`.
    """
    title = "How far back the gradient reaches"
    figure, axes = new_axes(title, "Words before the last", "Norm of the gradient")
    x = table["distance"]
    axes.plot(x, table["initial_mean"], color=NEUTRAL_COLOR, label="before the first epoch")
    axes.plot(x, table["mean"], color=TRAINING_COLOR, label="trained")
    axes.fill_between(x, table["low"], table["high"], color=TRAINING_COLOR, alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    axes.legend()
    return figure


def draw_length_bars(table: pd.DataFrame, accuracy: float) -> Figure:
    """Draw the accuracy by length. Each bar has its accuracy and its number of texts."""
    figure, axes = new_axes("Accuracy by length", "Words in the text", "Accuracy")
    bars = axes.bar(table["words"].astype(str), table["accuracy"], color=TRAINING_COLOR, zorder=2)
    values = zip(table["accuracy"], table["texts"], strict=True)
    labels = [f"{share:.1%}\n{count:,} texts" for share, count in values]
    axes.bar_label(bars, labels, label_type="center", color="white")
    axes.axhline(
        accuracy, linestyle="--", color=VALIDATION_COLOR, label=f"all, {accuracy:.1%}", zorder=3
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    return figure
