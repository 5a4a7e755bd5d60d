from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from sentiment.scoring import metrics, plots
from sentiment.scoring.evaluate_options import Evaluate
from workflow.params import Params

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "accuracy": [0.7, 0.8, 0.9],
        "val_accuracy": [0.7, 0.75, 0.7],
        "loss": [0.6, 0.5, 0.4],
        "val_loss": [0.6, 0.55, 0.6],
    }
)


@pytest.fixture
def options(default_params: Params) -> Evaluate:
    return default_params.evaluate


def axes_of(figure: "Figure") -> "Axes":
    (axes,) = figure.axes
    return axes


def labels(figure: "Figure") -> list[str]:
    """What the legend says."""
    legend = axes_of(figure).get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_curve_has_title_labels_legend_grid_and_both_lines(options: Evaluate, name: str) -> None:
    figure = plots.curve(HISTORY, name, "lstm-64", options)
    axes, title = axes_of(figure), name.capitalize()
    shown = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    assert shown == [f"{title} · lstm-64", "Epoch", title]
    assert labels(figure) == ["training", "validation"]
    assert all(line.get_visible() for line in axes.get_xgridlines())
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]
    assert drawn == [HISTORY[name].tolist(), HISTORY[f"val_{name}"].tolist()]


def test_gradients_are_drawn_on_a_logarithmic_axis_with_their_spread(options: Evaluate) -> None:
    table = pd.DataFrame({"distance": [0, 1], "mean": [1.0, 0.1], "low": 0.05, "high": 1.5})
    figure = plots.gradients({"before": table, "trained": table}, "lstm-64", options)
    axes = axes_of(figure)
    assert axes.get_yscale() == "log"
    assert (len(axes.get_lines()), len(axes.collections)) == (2, 1)
    assert labels(figure) == ["before", "trained"]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_whole_numbers(options: Evaluate, epochs: int) -> None:
    axes = axes_of(plots.curve(HISTORY.head(epochs), "loss", "run", options))
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_size_is_as_asked(options: Evaluate) -> None:
    asked = options.model_copy(update={"figure_width": 4.0, "figure_height": 3.0, "figure_dpi": 50})
    figure = plots.curve(HISTORY, "loss", "run", asked)
    assert figure.canvas.get_width_height() == (200, 150)


def test_confusion_matrix_shows_counts_and_shares(options: Evaluate) -> None:
    cells = [(actual, predicted) for actual in metrics.CLASSES for predicted in metrics.CLASSES]
    counts = pd.DataFrame(cells, columns=["actual", "predicted"]).assign(reviews=[3, 1, 0, 0])
    axes = axes_of(plots.confusion_matrix(counts, "run", options))
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["3\n75.0%", "1\n25.0%", "0\n0.0%", "0\n0.0%"]


def test_roc_curve_names_its_area(options: Evaluate) -> None:
    corners = pd.DataFrame({"false_positive_rate": [0, 1], "true_positive_rate": [0, 1]})
    assert "model, area 0.9123" in labels(plots.roc_curve(corners, 0.9123, "run", options))


def test_reliability_is_drawn_against_perfect_calibration(options: Evaluate) -> None:
    groups = pd.DataFrame({"predicted": [0.1, 0.8], "observed": [0.2, 0.7], "reviews": [5, 6]})
    line = axes_of(plots.reliability(groups, 0.1, "run", options)).lines[0]
    assert np.asarray(line.get_xydata()).tolist() == [[0.1, 0.2], [0.8, 0.7]]
    assert line.get_label() == "model, expected calibration error 0.1000"


def test_length_bars_show_accuracy_and_count(options: Evaluate) -> None:
    table = pd.DataFrame({"words": ["1-100"], "reviews": [3076], "accuracy": [0.8125]})
    axes = axes_of(plots.length_bars(table, 0.8, "run", options))
    assert axes.texts[0].get_text() == "81.2%\n3,076 reviews"
