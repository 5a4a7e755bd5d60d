"""Tables and plots of the study `benchmarks.seeds.memory`."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sentiment.evaluation.plots import NEUTRAL, new_axes

COLORS = {"LSTM": "tab:blue", "GRU": "tab:green", "plain RNN": "tab:orange"}


def accuracy_table(trainings: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and the range of the test accuracy for each network and dataset.

    Args:
        trainings: a row for each training, see `benchmarks.seeds.memory.training_row`.

    Returns:
        A row for each network and change, and a column for each distance of the cue in words; 0 is
        the dataset of the params. Cells such as `0.947 (0.887 to 0.979)`, empty without a training.
    """
    accuracy = trainings.groupby(["network", "change", "cue_distance"], sort=False)["test_accuracy"]
    return accuracy.agg(_mean_and_range).unstack("cue_distance").fillna("").sort_index(axis=1)


def reach_table(trainings: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and the range of the gradient's reach in words, for unchanged networks."""
    unchanged = trainings[trainings["change"] == ""]
    columns = ["initial_gradient_reach", "gradient_reach"]
    reach = unchanged.groupby(["network", "cue_distance"], sort=False)[columns]
    return reach.agg(_reach_and_range)


def _mean_and_range(values: "pd.Series[float]") -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def _reach_and_range(words: "pd.Series[int]") -> str:
    return f"{words.mean():.0f} ({words.min()} to {words.max()})"


def draw_accuracy(trainings: pd.DataFrame, best: float, without_cue: float) -> Figure:
    """Draw each unchanged network's test accuracy by the distance of the cue.

    Args:
        trainings: see `accuracy_table`.
        best: accuracy of the rule that made the labels.
        without_cue: best accuracy of a model that ignores the cue.
    """
    figure, axes = new_axes(
        "Accuracy by the distance of the cue", "Words from the cue to the end", "Test accuracy"
    )
    shown = trainings[(trainings["change"] == "") & (trainings["cue_distance"] > 0)]
    for network, rows in shown.groupby("network", sort=False):
        color = COLORS[str(network)]
        means = rows.groupby("cue_distance")["test_accuracy"].mean()
        axes.plot(means.index, means, color=color, label=network)
        axes.plot(rows["cue_distance"], rows["test_accuracy"], "o", color=color, alpha=0.6)
    axes.axhline(best, linestyle=":", color=NEUTRAL, label="rule that made the labels")
    axes.axhline(without_cue, linestyle="--", color=NEUTRAL, label="best without the cue")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower left")
    return figure


def draw_changes(trainings: pd.DataFrame, best: float, without_cue: float) -> Figure:
    """Draw the test accuracy of networks with one change, and of the same networks without it."""
    figure, axes = new_axes("Accuracy with one change", "Test accuracy", "")
    changed = trainings[trainings["change"] != ""]
    shown = trainings[
        trainings["network"].isin(changed["network"])
        & trainings["cue_distance"].isin(changed["cue_distance"])
    ]
    names = shown["network"] + shown["change"].where(shown["change"] == "", ", " + shown["change"])
    for distance, rows in shown.groupby("cue_distance"):
        axes.plot(rows["test_accuracy"], names[rows.index], "o", alpha=0.6, label=f"cue {distance}")
    axes.axvline(best, linestyle=":", color=NEUTRAL, label="rule that made the labels")
    axes.axvline(without_cue, linestyle="--", color=NEUTRAL, label="best without the cue")
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def draw_gradients(curves: pd.DataFrame) -> Figure:
    """Draw each unchanged network's mean gradient by distance, before and after training.

    Args:
        curves: columns `network`, `distance` in words from the last one, and the mean gradient
            norms `initial` and `trained`, of one dataset.
    """
    figure, axes = new_axes("Gradient by distance", "Words before the last", "Norm of the gradient")
    for network, rows in curves.groupby("network", sort=False):
        means = rows.groupby("distance")[["initial", "trained"]].mean()
        style: dict[str, Any] = {"color": COLORS[str(network)]}
        axes.plot(means.index, means["trained"], label=f"{network}, trained", **style)
        axes.plot(means.index, means["initial"], "--", label=f"{network}, untrained", **style)
    axes.set_yscale("log")
    axes.legend()
    return figure
