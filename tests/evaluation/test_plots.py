"""Plots show the numbers that they are drawn from."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from sentiment.evaluation import plots

HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.6, 0.5, 0.4], "val_loss": [0.6, 0.55, 0.6]})


def test_curve_has_title_labels_legend_lines_and_size() -> None:
    figure = plots.draw_curve(HISTORY, "loss")
    (axes,) = figure.axes
    shown = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    assert shown == ["Loss", "Epoch", "Loss"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]
    assert drawn == [HISTORY["loss"].tolist(), HISTORY["val_loss"].tolist()]
    assert figure.canvas.get_width_height() == (840, 540)


def test_confusion_matrix_shows_counts_and_shares() -> None:
    labels = ["negative", "positive"]
    cells = [(actual, predicted) for actual in labels for predicted in labels]
    counts = pd.DataFrame(cells, columns=["actual", "predicted"]).assign(texts=[3, 1, 0, 0])
    (axes,) = plots.draw_confusion_matrix(counts).axes
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["3\n75.0%", "1\n25.0%", "0\n0.0%", "0\n0.0%"]


def confusion_counts(label_count: int) -> pd.DataFrame:
    """Return the counts of labels that are predicted at random."""
    labels = [f"$label {number}" for number in range(label_count)]
    cells = [(actual, predicted) for actual in labels for predicted in labels]
    return pd.DataFrame(cells, columns=["actual", "predicted"]).assign(texts=1)


@pytest.mark.parametrize(("label_count", "rotation"), [(5, 0), (6, 90)])
def test_the_names_of_up_to_five_labels_are_upright(label_count: int, rotation: int) -> None:
    (axes,) = plots.draw_confusion_matrix(confusion_counts(label_count)).axes
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {rotation}


def test_confusion_matrix_of_many_labels_has_no_counts() -> None:
    labels = [f"$label {number}" for number in range(13)]
    (axes,) = plots.draw_confusion_matrix(confusion_counts(13)).axes
    assert not axes.texts
    assert [text.get_text() for text in axes.get_xticklabels()] == labels


def test_reliability_names_any_positive_label() -> None:
    groups = pd.DataFrame({"predicted": [0.5], "observed": [0.5]})
    figure = plots.draw_reliability(groups, 0.0, r"$\frac$ and $x$")
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    assert axes.get_ylabel() == r"Share $\frac$ and $x$"
    _, perfect = axes.get_lines()
    assert np.asarray(perfect.get_xydata()).tolist() == [[0, 0], [1, 1]]


def test_each_label_has_a_roc_curve_and_its_name_in_the_legend() -> None:
    corners = pd.DataFrame({"false_positive_rate": [0, 1], "true_positive_rate": [0, 1]})
    table = pd.concat([corners.assign(label=label) for label in (r"$\frac$", "_b")])
    figure = plots.draw_roc_curves(table, 0.5)
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [r"$\frac$", "_b", "guessing, area 0.5"]
    figure.savefig(BytesIO())
    assert legend.get_title().get_text() == "mean area 0.5000"
    assert axes.get_aspect() == 1  # so that guessing is at 45 degrees
