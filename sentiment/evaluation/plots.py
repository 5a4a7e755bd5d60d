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
# Colors.
TRAINING_COLOR = "tab:blue"
VALIDATION_COLOR = "tab:orange"
NEUTRAL_COLOR = "0.6"


def new_axes(title: str, x: str, y: str) -> tuple[Figure, "Axes"]:
    """Return an empty figure with a title and labels."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.set_title(title, wrap=True, parse_math=False)  # a dataset's name may contain dollar signs
    axes.grid(alpha=0.3)
    return figure, axes


def draw_curve(history: pd.DataFrame, metric: str, name: str) -> Figure:
    """Draw `accuracy` or `loss` of each epoch, on the training and the validation set.

    Args:
        history: see `sentiment.network.training.Training.history`.
        metric: "accuracy" or "loss".
        name: name of the model, for the title.
    """
    figure, axes = new_axes(f"{metric.capitalize()} · {name}", "Epoch", metric.capitalize())
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


def draw_roc_curve(corners: pd.DataFrame, area: float, name: str) -> Figure:
    """Draw the ROC curve, and the diagonal of a classifier that guesses."""
    figure, axes = new_axes(f"ROC curve · {name}", "False positive rate", "True positive rate")
    x = corners["false_positive_rate"]
    y = corners["true_positive_rate"]
    axes.plot(x, y, color=TRAINING_COLOR, label=f"model, area {area:.4f}")
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL_COLOR, label="guessing, area 0.5")
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    return figure


def draw_confusion_matrix(counts: pd.DataFrame, name: str) -> Figure:
    """Draw the confusion matrix. Each cell has its count and its share of the row."""
    figure, axes = new_axes(f"Confusion matrix · {name}", "Predicted", "Actual")
    axes.grid(visible=False)
    labels = list(counts["actual"].unique())
    table = counts.pivot(index="actual", columns="predicted", values="reviews")
    cells = table.loc[labels, labels].to_numpy()
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{cells[row, column]:,}\n{share:.1%}"
        color = "white" if share > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color)
    return figure


def draw_reliability(groups: pd.DataFrame, error: float, positive: str, name: str) -> Figure:
    """Draw the share of reviews with the positive label by its predicted probability."""
    figure, axes = new_axes(f"Reliability · {name}", "Predicted probability", f"Share {positive}")
    label = f"model, expected calibration error {error:.4f}"
    axes.plot(groups["predicted"], groups["observed"], "o-", color=TRAINING_COLOR, label=label)
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL_COLOR, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def draw_gradients(table: pd.DataFrame, name: str) -> Figure:
    """Draw the gradient's norm by the distance from the last word, on a logarithmic axis.

    Args:
        table: see `sentiment.evaluation.gradients.measure_gradients`.
        name: name of the model, for the title.
    """
    title = f"How far back the gradient reaches · {name}"
    figure, axes = new_axes(title, "Words before the last", "Norm of the gradient")
    x = table["distance"]
    axes.plot(x, table["initial_mean"], color=NEUTRAL_COLOR, label="before the first epoch")
    axes.plot(x, table["mean"], color=TRAINING_COLOR, label="trained")
    axes.fill_between(x, table["low"], table["high"], color=TRAINING_COLOR, alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    axes.legend()
    return figure


def draw_length_bars(table: pd.DataFrame, accuracy: float, name: str) -> Figure:
    """Draw the accuracy by length. Each bar has its accuracy and its number of reviews."""
    figure, axes = new_axes(f"Accuracy by length · {name}", "Words in the review", "Accuracy")
    bars = axes.bar(table["words"].astype(str), table["accuracy"], color=TRAINING_COLOR, zorder=2)
    values = zip(table["accuracy"], table["reviews"], strict=True)
    labels = [f"{accuracy:.1%}\n{count:,} reviews" for accuracy, count in values]
    axes.bar_label(bars, labels, label_type="center", color="white")
    axes.axhline(
        accuracy, linestyle="--", color=VALIDATION_COLOR, label=f"all, {accuracy:.1%}", zorder=3
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    return figure
